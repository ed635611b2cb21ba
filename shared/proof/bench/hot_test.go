package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/stretchr/testify/require"
)

// BenchmarkHotDrink stores requests by 64 handles at once, as 64 Lambda environments have, in a table that holds requests of
// 1,000 cities: each for a drink of its own, and all for one drink of one city. It reports the requests per second, how many
// transactions of each request conflicted, and the demand of the hot drink over what was requested, which must be 1. It needs
// DYNAMODB_ENDPOINT; DynamoDB Local runs one transaction at a time, so that the conflicts are less than those of AWS.
//
//	go test ./shared/proof/bench -run '^$' -bench HotDrink -benchtime 3x
func BenchmarkHotDrink(b *testing.B) {
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	if err != nil || os.Getenv("DYNAMODB_ENDPOINT") == "" {
		b.Skip("set DYNAMODB_ENDPOINT to a DynamoDB Local, such as http://127.0.0.1:8000")
	}
	var conflicts atomic.Int64
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("conflicts", func(ctx context.Context,
			in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleInitialize(ctx, in)
			var canceled *types.TransactionCanceledException
			if errors.As(err, &canceled) {
				conflicts.Add(1)
			}
			return out, metadata, err
		}), middleware.After)
	})
	const writers, each = 64, 16
	table := "bench-" + uuid.NewString()
	var handles [writers]*dynamodb.Store
	for i := range handles {
		handles[i], err = dynamodb.Open(cfg, table)
		require.NoError(b, err)
	}
	require.NoError(b, handles[0].Create(b.Context()))
	write := func(n int, drink func(writer, n int) (city, drink string)) time.Duration {
		conflicts.Store(0)
		began := time.Now()
		var all sync.WaitGroup
		for w, s := range handles {
			all.Go(func() {
				for i := range n {
					id := uuid.NewString()
					city, name := drink(w, i)
					err := s.Put(b.Context(), store.Item{Type: "request-created", ID: id, EventID: id, CreatedAt: time.Now(),
						Data: []byte("{}"), Labels: store.Labels{Country: "Italy", City: city}, Drinks: []string{name}})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
	city := func(w, i int) (string, string) { return fmt.Sprint("City ", w*each+i), "Tea" }
	write(each, city)
	var cold, hot, ratio []float64
	var coldConflicts, hotConflicts int64
	rounds := 0
	for ; b.Loop(); rounds++ {
		c := write(each, func(w, _ int) (string, string) { return fmt.Sprint("City ", w), fmt.Sprint("Drink ", w) })
		coldConflicts += conflicts.Load()
		h := write(each, func(int, int) (string, string) { return "Rome", "Espresso" })
		hotConflicts += conflicts.Load()
		cold, hot = append(cold, writers*each/c.Seconds()), append(hot, writers*each/h.Seconds())
		ratio = append(ratio, h.Seconds()/c.Seconds())
	}
	page, err := handles[0].Demand(b.Context(), store.DemandQuery{Country: "Italy", City: "Rome", Limit: 10})
	require.NoError(b, err)
	require.Len(b, page.Items, 1)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(cold), "cold-requests/s")
	b.ReportMetric(median(hot), "hot-requests/s")
	b.ReportMetric(median(ratio), "hot-x")
	b.ReportMetric(float64(coldConflicts)/float64(rounds*writers*each), "cold-conflicts/request")
	b.ReportMetric(float64(hotConflicts)/float64(rounds*writers*each), "hot-conflicts/request")
	b.ReportMetric(float64(page.Items[0].Count)/float64(rounds*writers*each), "counted")
}
