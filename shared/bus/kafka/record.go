package kafka

import (
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

// fromKgo shares the memory of what was fetched.
func fromKgo(r *kgo.Record) bus.Record {
	out := bus.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, LeaderEpoch: r.LeaderEpoch,
		Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, bus.Header(h))
	}
	return out
}
