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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/store"
)

// BenchmarkProject is what projecting requests costs: 256 or 64 goroutines that Put, beside as many that send by hand a
// transaction for each item. Every one has a table of its own.
//
//	DYNAMODB_ENDPOINT=http://127.0.0.1:18000 go test -run '^$' -bench Project -benchtime 5000x ./shared/store/dynamodb
func BenchmarkProject(b *testing.B) {
	for _, drinks := range []int{1200, 3} { // different ones, in 200 cities; 3: the same in one city
		for _, n := range []int{256, 64, 1} {
			b.Run(fmt.Sprintf("put-%d-drinks-by-%d", drinks, n), func(b *testing.B) { benchPut(b, n, drinks) })
			b.Run(fmt.Sprintf("hand-%d-drinks-by-%d", drinks, n), func(b *testing.B) { benchHand(b, n, drinks) })
		}
	}
}

func benchPut(b *testing.B, goroutines, drinks int) {
	cfg, name := newTable(b)
	items := requests(b.N, drinks)
	s := open(b, cfg, name)
	b.ResetTimer()
	failed := spread(goroutines, items, func(i store.Item) error { return s.Put(context.Background(), i) })
	report(b, failed)
}

func benchHand(b *testing.B, goroutines, drinks int) {
	cfg, name := newTable(b)
	items := requests(b.N, drinks)
	s := open(b, cfg, name)
	b.ResetTimer()
	failed := spread(goroutines, items, func(i store.Item) error { return byHand(s, i) })
	report(b, failed)
}

// byHand sends a transaction with the row and the counters of an item, with the retries of the client.
func byHand(s *Store, i store.Item) error {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: &s.name,
		Item: rowOf(i)}}}}
	for _, e := range i.DemandEntries() {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: s.count(e)})
	}
	_, err := s.client.TransactWriteItems(context.Background(), in)
	return err
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
		country, city, machine := fmt.Sprintf("Country %d", place%20), fmt.Sprintf("City %d", place),
			fmt.Sprintf("machine-%d", r.IntN(500))
		asked := make([]string, 3)
		for d := range asked {
			asked[d] = fmt.Sprintf("Drink %d", d*20+r.IntN(max(1, min(20, drinks/3))))
		}
		data, err := json.Marshal(map[string]any{"id": id, "name": "Ada Lovelace", "email": "ada.lovelace@example.com",
			"phone":   "+49 30 1234567",
			"address": "12 Analytical Street, second floor", "city": city, "country": country, "drinksList": asked, "machineId": machine,
			"timestamp": when.UTC().Format(time.RFC3339Nano),
			"note":      "as a stand-in for what else a request may say of itself, here and there"})
		if err != nil {
			panic(err)
		}
		items[k] = store.Item{Type: "request-created", ID: id, EventID: id, CreatedAt: when, Data: data, Digest: sha256.Sum256(data),
			Labels: store.Labels{City: city, Country: country, MachineID: machine}, Drinks: asked}
	}
	return items
}
