package bus

import (
	"context"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Record is one record as it stands on a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       []byte // nil = none
	Value     []byte // nil = a tombstone
	Headers   []Header

	LeaderEpoch int32 // of the batch that the record came in, for its offset's commit; see KIP-320
	Unreadable  error // why its source could not read it; it is then rejected as [TooLarge] without key, value and headers
}

// Header is one header of a record; a key may repeat.
type Header struct {
	Key   string
	Value []byte
}

// What a record and a header take in memory beside their bytes, as a record of the Kafka client and as ours.
const (
	recordOverhead = 512
	headerOverhead = 96
)

// size is about what the record takes in memory.
func (r *Record) size() int {
	n := recordOverhead + len(r.Key) + len(r.Value) + headerOverhead*len(r.Headers)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Position is where a record stands.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Publisher writes events to their topics.
type Publisher interface {
	// Publish returns when the event is written to all in-sync replicas. An Unavailable error means that its fate is
	// not known, unless its text says otherwise: it may be written later. It carries the event's id, so that whoever tries
	// again can make the same event.
	Publish(ctx context.Context, e events.Any) (Position, error)
}
