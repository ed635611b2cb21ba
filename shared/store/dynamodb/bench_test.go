package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/store"
)

// BenchmarkProject is what projecting requests costs: 256 or 64 goroutines that Put, beside as many that send by hand a transaction
// for each item. Every one has a table of its own.
//
//	DYNAMODB_ENDPOINT=http://127.0.0.1:18000 go test -run '^$' -bench Project -benchtime 5000x ./shared/store/dynamodb
func BenchmarkProject(b *testing.B) {
	for _, drinks := range []int{1200, 3} { // different ones, in 200 cities; 3: everybody asks for the same in one city
		for _, n := range []int{256, 64, 1} {
			b.Run(fmt.Sprintf("put-%d-drinks-by-%d", drinks, n), func(b *testing.B) { benchPut(b, n, drinks, false) })
			b.Run(fmt.Sprintf("hand-%d-drinks-by-%d", drinks, n), func(b *testing.B) { benchHand(b, n, drinks) })
		}
	}
	b.Run("put-while-building-1200-drinks-by-256", func(b *testing.B) { benchPut(b, 256, 1200, true) })
}

func benchPut(b *testing.B, goroutines, drinks int, building bool) {
	cfg, name := table(b)
	items := requests(b.N, drinks)
	s := open(b, cfg, name)
	if building {
		if _, err := s.Build(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	failed := spread(goroutines, items, func(i store.Item) error { return s.Put(context.Background(), i) })
	report(b, failed)
}

func benchHand(b *testing.B, goroutines, drinks int) {
	cfg, name := table(b)
	items := requests(b.N, drinks)
	client, _, idle := connect(cfg)
	defer idle()
	b.ResetTimer()
	failed := spread(goroutines, items, func(i store.Item) error { return byHand(client, name, i) })
	report(b, failed)
}

// byHand is what somebody would write: the row and the counters of an item, and a few tries when others are at the same counter.
func byHand(client *dynamodb.Client, name string, i store.Item) error {
	r, err := newRow(i)
	if err != nil {
		return err
	}
	in := transaction(name, []*op{newOp(context.Background(), 1, r)})
	return again(context.Background(), func(ctx context.Context) error {
		_, err := client.TransactWriteItems(ctx, in)
		return err
	})
}

func report(b *testing.B, failed int64) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if failed > 0 {
		b.ReportMetric(float64(failed), "failed")
	}
}

func spread(goroutines int, items []store.Item, do func(store.Item) error) int64 {
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				if do(items[i]) != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	return failed.Load()
}

// requests are like real ones: 400 bytes, three drinks.
func requests(n, drinks int) []store.Item {
	r := rand.New(rand.NewPCG(1, 2))
	items := make([]store.Item, n)
	for k := range items {
		id, when := uuid.Must(uuid.NewV7()).String(), time.UnixMilli(1_790_000_000_000+int64(k))
		place := r.IntN(max(1, drinks/6))
		if drinks == 3 {
			place = 0
		}
		country, city, machine := fmt.Sprintf("Country %d", place%20), fmt.Sprintf("City %d", place), fmt.Sprintf("machine-%d", r.IntN(500))
		asked := make([]string, 3)
		for d := range asked {
			asked[d] = fmt.Sprintf("Drink %d", d*20+r.IntN(max(1, min(20, drinks/3))))
		}
		data, err := json.Marshal(map[string]any{"id": id, "name": "Ada Lovelace", "email": "ada.lovelace@example.com", "phone": "+49 30 1234567",
			"address": "12 Analytical Street, second floor", "city": city, "country": country, "drinksList": asked, "machineId": machine,
			"timestamp": when.UTC().Format(time.RFC3339Nano), "note": "as a stand-in for what else a request may say of itself, here and there"})
		if err != nil {
			panic(err)
		}
		items[k] = store.Item{Type: "request-created", ID: id, EventID: id, CreatedAt: when, Data: data, Digest: sha256.Sum256(data),
			Labels: store.Labels{City: city, Country: country, MachineID: machine}, Drinks: asked}
	}
	return items
}
