package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// handWritten is the least that makes a contact readable: a POST that produces synchronously, one consumer that polls and
// keeps each batch, and a GET that reads it. It knows no repeats and no errors. With notify, it also derives a notification from
// each contact, writes those of a batch together, and another consumer keeps each batch of them. It keeps them in a new SQLite
// file, or in a new DynamoDB table if DYNAMODB_ENDPOINT is set.
func handWritten(cluster settings.Kafka, data string, notify bool) (http.Handler, error) {
	model, err := handModel(data)
	if err != nil {
		return nil, err
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DefaultProduceTopic("contact-created"))
	if err != nil {
		return nil, err
	}
	err = pollByHand(cluster, "contact-created", func(records []*kgo.Record) error {
		contacts, err := decodeByHand[events.ContactCreated](records)
		if err = errors.Join(err, model.contacts(contacts)); err != nil || !notify {
			return err
		}
		var derived []*kgo.Record
		for _, e := range contacts {
			n, err := events.New(events.Notification{Notice: events.Notice{
				Type: "contact", Message: "New contact: " + e.Data.Name, SubjectID: e.Data.ID,
			}}, events.CausedBy(e, "notification"))
			if err != nil {
				return err
			}
			value, _ := n.Encode()
			derived = append(derived, &kgo.Record{Topic: n.Topic(), Key: []byte(n.Key()), Value: value})
		}
		return producer.ProduceSync(context.Background(), derived...).FirstErr()
	})
	if err == nil && notify {
		err = pollByHand(cluster, "notification", func(records []*kgo.Record) error {
			notifications, err := decodeByHand[events.Notification](records)
			return errors.Join(err, model.notifications(notifications))
		})
	}
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /contacts", func(w http.ResponseWriter, r *http.Request) {
		var contact events.Contact
		if err := json.UnmarshalRead(r.Body, &contact); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e, err := events.New(events.ContactCreated{Contact: contact})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		value, _ := e.Encode()
		if err := producer.ProduceSync(r.Context(), kgo.KeySliceRecord([]byte(e.Key()), value)).FirstErr(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"`+e.Data.ID+`"}`)
	})
	mux.HandleFunc("GET /contacts/{id}", func(w http.ResponseWriter, r *http.Request) {
		data, err := model.contact(r.Context(), r.PathValue("id"))
		if err != nil || data == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, data)
	})
	return mux, nil
}

func pollByHand(cluster settings.Kafka, topic string, handle func([]*kgo.Record) error) error {
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ConsumerGroup("hand-written-"+topic),
		kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	go func() {
		for {
			if err := handle(consumer.PollFetches(context.Background()).Records()); err != nil {
				panic(err)
			}
		}
	}()
	return nil
}

func decodeByHand[T events.Payload](records []*kgo.Record) (all []events.Event[T], err error) {
	for _, r := range records {
		e, failure := events.Decode[T](r.Value)
		all, err = append(all, e), errors.Join(err, failure)
	}
	return all, err
}

// byHandModel is a hand-written read model.
type byHandModel interface {
	contacts([]events.Event[events.ContactCreated]) error
	notifications([]events.Event[events.Notification]) error
	contact(ctx context.Context, id string) (data string, err error)
}

func handModel(folder string) (byHandModel, error) {
	ctx := context.Background()
	if os.Getenv("DYNAMODB_ENDPOINT") == "" {
		path := filepath.Join(folder, "hand.db")
		model, err := sqlite.Open(ctx, path) // makes the tables
		if err != nil {
			return nil, err
		}
		const pragmas = "?_pragma=synchronous(full)&_pragma=busy_timeout(10000)"
		db, err := sql.Open("sqlite", "file:"+path+pragmas)
		return handSQLite{db}, errors.Join(model.Close(), err)
	}
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	m := handDynamoDB{table: "hand-" + uuid.NewString(), claims: "hand-claims-" + uuid.NewString()}
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = 256 })
	m.client = sdk.NewFromConfig(cfg, func(o *sdk.Options) { o.DisableValidateResponseChecksum = true })
	model, err := dynamodb.Open(cfg, m.table)
	if err != nil {
		return nil, err
	}
	claims, err := dynamodb.OpenClaims(cfg, m.claims, time.Now)
	if err != nil {
		return nil, err
	}
	return m, errors.Join(model.Create(ctx), claims.Create(ctx))
}

// handSQLite keeps a batch by one transaction.
type handSQLite struct{ *sql.DB }

func (m handSQLite) contacts(all []events.Event[events.ContactCreated]) error {
	return insertByHand(m.DB, all)
}

func (m handSQLite) notifications(all []events.Event[events.Notification]) error {
	return insertByHand(m.DB, all)
}

func insertByHand[T events.Payload](db *sql.DB, all []events.Event[T]) error {
	transaction, err := db.Begin()
	if err != nil {
		return err
	}
	for _, e := range all {
		data, _ := json.Marshal(e.Data)
		_, failure := transaction.Exec(`INSERT INTO items (type, id, event, created, digest, data) VALUES (?, ?, ?, ?, ?, ?)`,
			e.Type, e.ResourceID(), e.ID, e.Metadata.Timestamp.Time().UnixMilli(), "", string(data))
		err = errors.Join(err, failure)
	}
	return errors.Join(err, transaction.Commit())
}

func (m handSQLite) contact(ctx context.Context, id string) (data string, err error) {
	err = m.QueryRowContext(ctx, "SELECT data FROM items WHERE type = 'contact-created' AND id = ?", id).Scan(&data)
	return data, err
}

// handDynamoDB makes the requests that ours makes, up to 64 at once as ours does for a partition: a PutItem for each event, and
// for a notification an UpdateItem before its delivery and one after it.
type handDynamoDB struct {
	client        *sdk.Client
	table, claims string
}

type handRow = map[string]types.AttributeValue

func handText(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func handKey(kind, id string) handRow {
	return handRow{"pk": handText(kind + "/" + id), "sk": &types.AttributeValueMemberB{Value: []byte("-")}}
}

func (m handDynamoDB) contacts(all []events.Event[events.ContactCreated]) error {
	return putByHand(m, all, func(events.Event[events.ContactCreated]) error { return nil })
}

func (m handDynamoDB) notifications(all []events.Event[events.Notification]) error {
	return putByHand(m, all, func(e events.Event[events.Notification]) (err error) {
		for _, state := range []string{"claimed", "delivered"} {
			_, failure := m.client.UpdateItem(context.Background(), &sdk.UpdateItemInput{TableName: &m.claims,
				Key: handRow{"id": handText(e.ID)}, UpdateExpression: aws.String("SET #s = :s"),
				ExpressionAttributeNames: map[string]string{"#s": "state"}, ExpressionAttributeValues: handRow{":s": handText(state)}})
			err = errors.Join(err, failure)
		}
		return err
	})
}

func putByHand[T events.Payload](m handDynamoDB, all []events.Event[T], then func(events.Event[T]) error) error {
	var writing errgroup.Group
	writing.SetLimit(64)
	for _, e := range all {
		writing.Go(func() error {
			data, _ := json.Marshal(e.Data)
			row := handKey(e.Type, e.ResourceID())
			row["data"], row["event"], row["list"] = handText(string(data)), handText(e.ID), handText(e.Type)
			row["at"] = &types.AttributeValueMemberB{Value: fmt.Append(nil, e.Metadata.Timestamp, e.ID)}
			_, err := m.client.PutItem(context.Background(), &sdk.PutItemInput{TableName: &m.table, Item: row})
			return errors.Join(err, then(e))
		})
	}
	return writing.Wait()
}

func (m handDynamoDB) contact(ctx context.Context, id string) (string, error) {
	out, err := m.client.GetItem(ctx, &sdk.GetItemInput{TableName: &m.table, Key: handKey("contact-created", id),
		ConsistentRead: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	data, _ := out.Item["data"].(*types.AttributeValueMemberS)
	if data == nil {
		return "", nil
	}
	return data.Value, nil
}
