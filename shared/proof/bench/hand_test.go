package bench

import (
	"context"
	"database/sql"
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
// inserts each batch in a transaction, and a GET that selects. It knows no notifications, no repeats and no errors.
func handWritten(cluster settings.Kafka, data string) (http.Handler, error) {
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
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ConsumerGroup("hand-written"),
		kgo.ConsumeTopics("contact-created"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			fetches := consumer.PollFetches(context.Background())
			transaction, err := db.Begin()
			if err != nil {
				panic(err)
			}
			for r := range fetches.RecordsAll() {
				e, err := events.Decode[events.ContactCreated](r.Value)
				if err != nil {
					panic(err)
				}
				data, _ := json.Marshal(e.Data)
				if _, err := transaction.Exec(`INSERT INTO items (type, id, event, created, digest, data) VALUES (?, ?, ?, ?, ?, ?)`,
					e.Type, e.Data.ID, e.ID, e.Metadata.Timestamp.Time().UnixMilli(), "", string(data)); err != nil {
					panic(err)
				}
			}
			if err := transaction.Commit(); err != nil {
				panic(err)
			}
		}
	}()
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
