package local

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkPublish is one event per request, as API endpoints publish:
// "alone" waits for each, "shared" has many callers on one client.
func BenchmarkPublish(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		br, err := Open(b.Context(), Options{Dir: b.TempDir(), Address: "127.0.0.1:0", Topics: topics(3), NoSync: noSync})
		if err != nil {
			b.Fatal(err)
		}
		cl, err := kgo.NewClient(kgo.SeedBrokers(br.Address()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err != nil {
			b.Fatal(err)
		}
		event := bytes.Repeat([]byte("e"), 400)
		publish := func() error {
			return cl.ProduceSync(b.Context(), &kgo.Record{Topic: topic, Value: event}).FirstErr()
		}
		name := "noSync=" + strconv.FormatBool(noSync)
		b.Run(name+"/alone", func(b *testing.B) {
			for b.Loop() {
				if err := publish(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/shared", func(b *testing.B) {
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
		if err := br.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
