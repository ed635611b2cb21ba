package bus

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       []byte // nil = none
	Value     []byte // nil = a tombstone
	Headers   []Header

	LeaderEpoch int32 // of the record's batch, to be committed with its offset (KIP-320)
	Unreadable  error // why the source could not read it: it has no key, value and headers, and is rejected as [TooLarge]
}

// Header is one header of a record; a key may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Memory of a record and of a header beside their bytes, in the Kafka client and here.
const recordOverhead, headerOverhead = 512, 96

// size estimates the record's memory.
func (r *Record) size() int {
	n := recordOverhead + len(r.Key) + len(r.Value) + headerOverhead*len(r.Headers)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Clone returns a copy that shares no memory with the record.
func (r *Record) Clone() *Record {
	c := *r
	c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}

// Header is the value of the last header of a name; nil = there is none.
func (r *Record) Header(name string) []byte {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}

// Identify returns the eventId of the record, "" if it cannot be decoded, and the key within which it is ordered: its own or,
// without one, that of the event.
func (r *Record) Identify() (eventID, key string) {
	key = string(r.Key)
	if d, ok := events.Lookup(r.Topic); ok {
		if e, err := d.Decode(r.Value); err == nil {
			eventID, key = e.EventID(), cmp.Or(key, e.Key())
		}
	}
	return eventID, key
}

// Position is the place of a record.
type Position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Position is where the record is.
func (r *Record) Position() Position { return Position{r.Topic, r.Partition, r.Offset} }

// String is topic/partition/offset.
func (p Position) String() string { return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset) }

// ParsePosition reads what [Position.String] wrote; anything else is Invalid.
func ParsePosition(text string) (Position, error) {
	topic, rest, _ := strings.Cut(text, "/")
	number, position, _ := strings.Cut(rest, "/")
	partition, err := strconv.ParseInt(number, 10, 32)
	offset, err2 := strconv.ParseInt(position, 10, 64)
	if topic == "" || err != nil || err2 != nil || min(partition, offset) < 0 {
		return Position{}, events.Errorf(events.Invalid, "%.100q is not topic/partition/offset, the id of a dead letter", text)
	}
	return Position{topic, int32(partition), offset}, nil
}

// Publisher writes events to their topics.
type Publisher interface {
	// Publish returns when the event is written to all in-sync replicas. After an Unavailable error, which has the event's
	// id, the event may still be written later.
	Publish(ctx context.Context, e events.Any) (Position, error)
}
