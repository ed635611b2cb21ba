package bus

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// chunkSize is how many events are decoded before they are handed over: few locks, yet so little that it is still in the
// processor's cache when the handlers run.
const chunkSize = 16

// chunk holds the events that were decoded together. It is used again once all of them are handled.
type chunk struct {
	deliveries [chunkSize]delivery
	events     any // what the deliveries' events are pointers into; the consumer knows its type
	used       int // of deliveries
	handled    int // of those, from the front
	behind     *chunk
}

// delivery is one record in hand.
type delivery struct {
	record *Record // nil once it is handled
	message
	*trouble // nil while all is well
	size     int
	tries    int // how often the handler was run
	lane     *lane
	next     *delivery // of the same lane

	handledAt int64 // the offset behind it, once it is handled
	epoch     int32 // of its record, once it is handled
}

// trouble is what is known of an event that did not succeed at once.
type trouble struct {
	fault    error // why it could not be decoded
	verdict  error // why it was rejected, once that is decided
	failures int   // tries that failed for an unknown reason, those during an outage not counted
	unkept   int   // dead letters of it that could not be written
	backoff  *backoff.ExponentialBackOff
	since    time.Time // first refused for itself alone
	traced   traced
}

// message is a decoded event, and the key that it is ordered by.
type message struct {
	event   any    // *events.Event[T]
	eventID string // for logs and traces, see [events.LogID]
	key     string
}

func (d *delivery) troubled() *trouble {
	if d.trouble == nil {
		d.trouble = &trouble{}
	}
	return d.trouble
}

// lane is the events of one key, in offset order. It is in the ready queue, in the hands of a worker or waiting for its
// retry; only one of these at a time, which keeps the order.
type lane struct {
	head, tail *delivery
	behind     *lane       // in the ready queue, or among the spare ones
	retry      *time.Timer // once it has waited for one
}

func (l *lane) append(d *delivery) {
	d.lane = l
	if l.head == nil {
		l.head = d
	} else {
		l.tail.next = d
	}
	l.tail = d
}

// queue is first in, first out.
type queue struct{ first, last *lane }

func (q *queue) push(l *lane) {
	if q.first == nil {
		q.first = l
	} else {
		q.last.behind = l
	}
	q.last = l
}

func (q *queue) pop() *lane {
	l := q.first
	if l != nil {
		q.first, l.behind = l.behind, nil
	}
	return l
}
