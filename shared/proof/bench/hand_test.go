package bench

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/twmb/franz-go/pkg/kgo"
)

// handWritten is the least that makes a contact readable: a POST that produces synchronously, one consumer that polls and
// inserts each batch in a transaction, and a GET that selects. It knows no repeats and no errors. With notify, it also derives a
// notification from each contact, writes those of a batch together, and another consumer inserts each batch of them.
func handWritten(cluster settings.Kafka, data string, notify bool) (http.Handler, error) {
	path := filepath.Join(data, "hand.db")
	model, err := sqlite.Open(context.Background(), path) // makes the tables
	if err != nil {
		return nil, err
	}
	_ = model.Close()
	const pragmas = "?_pragma=synchronous(full)&_pragma=busy_timeout(10000)"
	db, err := sql.Open("sqlite", "file:"+path+pragmas)
	if err != nil {
		return nil, err
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DefaultProduceTopic("contact-created"))
	if err != nil {
		return nil, err
	}
	consume := func(topic string, insert func(*sql.Tx, *kgo.Record) (derived *kgo.Record, err error)) error {
		consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ConsumerGroup("hand-written-"+topic),
			kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if err != nil {
			return err
		}
		go func() {
			for {
				fetches := consumer.PollFetches(context.Background())
				transaction, err := db.Begin()
				var derived []*kgo.Record
				for r := range fetches.RecordsAll() {
					d, failure := insert(transaction, r)
					if err = errors.Join(err, failure); d != nil {
						derived = append(derived, d)
					}
				}
				if err = errors.Join(err, transaction.Commit()); err == nil {
					err = producer.ProduceSync(context.Background(), derived...).FirstErr()
				}
				if err != nil {
					panic(err)
				}
			}
		}()
		return nil
	}
	const insert = `INSERT INTO items (type, id, event, created, digest, data) VALUES (?, ?, ?, ?, ?, ?)`
	err = consume("contact-created", func(t *sql.Tx, r *kgo.Record) (*kgo.Record, error) {
		e, err := events.Decode[events.ContactCreated](r.Value)
		if err != nil {
			return nil, err
		}
		data, _ := json.Marshal(e.Data)
		_, err = t.Exec(insert, e.Type, e.Data.ID, e.ID, e.Metadata.Timestamp.Time().UnixMilli(), "", string(data))
		if err != nil || !notify {
			return nil, err
		}
		n, err := events.New(events.Notification{Notice: events.Notice{
			Type: "contact", Message: "New contact: " + e.Data.Name, SubjectID: e.Data.ID,
		}}, events.CausedBy(e, "notification"))
		if err != nil {
			return nil, err
		}
		value, err := n.Encode()
		return &kgo.Record{Topic: n.Topic(), Key: []byte(n.Key()), Value: value}, err
	})
	if err == nil && notify {
		err = consume("notification", func(t *sql.Tx, r *kgo.Record) (*kgo.Record, error) {
			e, err := events.Decode[events.Notification](r.Value)
			if err == nil {
				_, err = t.Exec(insert, e.Type, e.ID, e.ID, e.Metadata.Timestamp.Time().UnixMilli(), "", "{}")
			}
			return nil, err
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
		var data string
		err := db.QueryRowContext(r.Context(), "SELECT data FROM items WHERE type = 'contact-created' AND id = ?",
			r.PathValue("id")).Scan(&data)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, data)
	})
	return mux, nil
}
