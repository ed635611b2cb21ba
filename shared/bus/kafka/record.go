package kafka

import (
	"bytes"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/twmb/franz-go/pkg/kgo"
)

func toKgo(r bus.Record) *kgo.Record {
	out := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

// fromKgo copies a record out of what was fetched: one that waits must not hold the memory of a whole fetch.
func fromKgo(r *kgo.Record) bus.Record {
	out := bus.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, LeaderEpoch: r.LeaderEpoch,
		Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value),
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, bus.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return out
}
