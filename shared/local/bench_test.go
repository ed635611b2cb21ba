package local

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkPublish is one event per request, as API endpoints publish:
// "alone" waits for each, "shared" has many callers on one client.
func BenchmarkPublish(b *testing.B) {
	br, err := Open(b.Context(), Options{Dir: b.TempDir(), Address: "127.0.0.1:0"})
	require.NoError(b, err)
	require.NoError(b, makeTopic(b.Context(), br.Address()))
	cl, err := kgo.NewClient(kgo.SeedBrokers(br.Address()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	event := bytes.Repeat([]byte("e"), 400)
	publish := func() error {
		return cl.ProduceSync(b.Context(), &kgo.Record{Topic: topic, Value: event}).FirstErr()
	}
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, publish())
		}
	})
	b.Run("shared", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := publish(); err != nil {
					b.Error(err)
				}
			}
		})
	})
	cl.Close()
	require.NoError(b, br.Close())
}
