package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/store"
)

// BenchmarkProject is what projecting requests costs: 256 or 500 goroutines that Put, beside the same rows written by hand, one
// transaction for each batch. Each of them writes to a new file, with the same schema and the same sync. Give a number
// of events that fills some batches:
//
//	go test -run '^$' -bench Project -benchtime 50000x ./shared/store/sqlite
func BenchmarkProject(b *testing.B) {
	b.Run("put-by-256", func(b *testing.B) { benchPut(b, 256) })
	b.Run("hand-in-256s", func(b *testing.B) { benchHand(b, 256) })
	b.Run("put-by-500", func(b *testing.B) { benchPut(b, 500) })
	b.Run("hand-in-500s", func(b *testing.B) { benchHand(b, 500) })
	b.Run("put-by-1", func(b *testing.B) { benchPut(b, 1) })
	b.Run("hand-in-1s", func(b *testing.B) { benchHand(b, 1) })
}

func benchPut(b *testing.B, goroutines int) {
	items := requests(b.N)
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "model.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				if err := s.Put(context.Background(), items[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func benchHand(b *testing.B, batch int) {
	items := requests(b.N)
	path := filepath.Join(b.TempDir(), "model.db")
	if err := open(b, path).Close(); err != nil {
		b.Fatal(err)
	}
	db, err := connect(path, "journal_mode(wal)", "synchronous(full)", "fullfsync(1)", "cache_size(-32768)",
		"wal_autocheckpoint(4000)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	insert, err := db.Prepare(`INSERT INTO items (type, id, event, created, digest, data, extra, city, country, machine)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	must(err)
	count, err := db.Prepare(`INSERT INTO demand VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1) ON CONFLICT DO UPDATE SET count = count + 1`)
	must(err)
	b.ResetTimer()
	for len(items) > 0 {
		n := min(batch, len(items))
		t, err := db.Begin()
		must(err)
		insertHere, countHere := t.Stmt(insert), t.Stmt(count)
		for _, i := range items[:n] {
			must(byHand(insertHere, countHere, i))
		}
		must(t.Commit())
		items = items[n:]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func byHand(insert, count *sql.Stmt, i store.Item) error {
	more, err := json.Marshal(extra{City: i.Labels.City, Country: i.Labels.Country, MachineID: i.Labels.MachineID, Drinks: i.Drinks})
	if err != nil {
		return err
	}
	city, country, machine := store.Fold(i.Labels.City), store.Fold(i.Labels.Country), store.Fold(i.Labels.MachineID)
	result, err := insert.Exec(i.Type, i.ID, i.EventID, i.CreatedAt.UnixMilli(), i.Digest[:], string(i.Data),
		string(more), city, country, machine)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	for _, drink := range i.Drinks {
		if _, err := count.Exec(country, city, store.Fold(drink), i.Labels.Country, i.Labels.City, drink); err != nil {
			return err
		}
	}
	return nil
}

// requests are like real ones: 400 bytes, three drinks, in 200 cities of 20 countries, at 500 machines.
func requests(n int) []store.Item {
	r := rand.New(rand.NewPCG(1, 2))
	items := make([]store.Item, n)
	for k := range items {
		id, at := uuid.Must(uuid.NewV7()).String(), time.UnixMilli(1_790_000_000_000+int64(k))
		place := r.IntN(200)
		country, city, machine := fmt.Sprintf("Country %d", place%20), fmt.Sprintf("City %d", place),
			fmt.Sprintf("machine-%d", r.IntN(500))
		drinks := make([]string, 3)
		for d := range drinks {
			drinks[d] = fmt.Sprintf("Drink %d", d*20+r.IntN(20))
		}
		data, err := json.Marshal(map[string]any{"id": id, "name": "Ada Lovelace", "email": "ada.lovelace@example.com",
			"phone":   "+49 30 1234567",
			"address": "12 Analytical Street, second floor", "city": city, "country": country, "drinksList": drinks, "machineId": machine,
			"timestamp": at.UTC().Format(time.RFC3339Nano), "note": "as a stand-in for what else a request may hold"})
		if err != nil {
			panic(err)
		}
		items[k] = store.Item{Type: "request-created", ID: id, EventID: id, CreatedAt: at, Data: data, Digest: sha256.Sum256(data),
			Labels: store.Labels{City: city, Country: country, MachineID: machine}, Drinks: drinks}
	}
	return items
}
