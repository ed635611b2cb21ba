package events_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// The samples of the four types: go test -bench . ./shared/events
func BenchmarkDecode(b *testing.B) {
	for _, d := range events.Catalogue() {
		b.Run(d.Topic, func(b *testing.B) {
			sample, err := d.Sample()
			require.NoError(b, err)
			b.SetBytes(int64(len(sample)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(sample); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, d := range events.Catalogue() {
		b.Run(d.Topic, func(b *testing.B) {
			sample, err := d.Sample()
			require.NoError(b, err)
			e, err := d.Decode(sample)
			require.NoError(b, err)
			b.SetBytes(int64(len(sample)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	b.Run("contact-created", func(b *testing.B) { benchmarkNew(b, events.ContactCreated{Contact: contact()}) })
	b.Run("machine-created", func(b *testing.B) { benchmarkNew(b, events.MachineCreated{Machine: machine()}) })
	b.Run("request-created", func(b *testing.B) { benchmarkNew(b, events.RequestCreated{Request: request()}) })
	b.Run("notification", func(b *testing.B) { benchmarkNew(b, events.Notification{Notice: notice()}) })
}

func benchmarkNew[T events.Payload](b *testing.B, data T) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.New(data); err != nil {
			b.Fatal(err)
		}
	}
}
