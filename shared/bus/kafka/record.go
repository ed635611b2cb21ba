package kafka

import (
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/twmb/franz-go/pkg/kgo"
)

func toKgo(r bus.Record) *kgo.Record {
	out := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: make([]kgo.RecordHeader, len(r.Headers))}
	for i, h := range r.Headers {
		out.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return out
}

// fromKgo copies the records of one partition out of what was fetched: those that wait must not hold the memory of a
// whole fetch, which is that of many partitions.
func fromKgo(records []*kgo.Record) []bus.Record {
	size := 0
	for _, r := range records {
		size += len(r.Key) + len(r.Value)
		for _, h := range r.Headers {
			size += len(h.Value)
		}
	}
	bytes := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil // not the same as empty
		}
		at := len(bytes)
		bytes = append(bytes, b...)
		return bytes[at:len(bytes):len(bytes)]
	}
	out := make([]bus.Record, len(records))
	for i, r := range records {
		out[i] = bus.Record{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, LeaderEpoch: r.LeaderEpoch,
			Key: own(r.Key), Value: own(r.Value),
		}
		if len(r.Headers) > 0 {
			out[i].Headers = make([]bus.Header, len(r.Headers))
			for n, h := range r.Headers {
				out[i].Headers[n] = bus.Header{Key: h.Key, Value: own(h.Value)}
			}
		}
	}
	return out
}
