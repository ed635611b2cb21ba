package dynamodb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPut measures writes of requests that are all for the same drink, and of requests that are each for another one.
//
//	DYNAMODB_ENDPOINT=http://127.0.0.1:18000 go test -run '^$' -bench Put -benchtime 3000x ./shared/store/dynamodb
func BenchmarkPut(b *testing.B) {
	for _, drinks := range []int{1, 1200} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("drinks=%d/writers=%d", drinks, writers), func(b *testing.B) {
				cfg, name := newTable(b)
				s := open(b, cfg, name)
				var next atomic.Int64
				var all sync.WaitGroup
				b.ResetTimer()
				for range writers {
					all.Go(func() {
						for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
							if err := s.Put(context.Background(), request(fmt.Sprint(i), fmt.Sprint("drink ", i%drinks))); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
