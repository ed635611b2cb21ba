package bus

import (
	"context"
	"time"
)

// delivery is one delivered record that is not handled yet.
type delivery struct {
	record *Record
	key    string
	size   int
	queue  *keyQueue
	next   *delivery // of the same key
	message
	retryState
	ctx     context.Context // of its handlers, from the first try on
	trace   Trace           // nil = none, or over
	handled bool            // then only the size and the record's position are left
}

func (d *delivery) position() Position {
	return Position{d.record.Topic, d.record.Partition, d.record.Offset}
}

// keyQueue holds the events of one key in offset order. It is in the ready queue, with a worker or waiting for a retry, in
// one of these at a time, which keeps the order.
type keyQueue struct {
	first, last *delivery
	retry       *time.Timer // of the first
}

func (q *keyQueue) push(d *delivery) {
	d.queue = q
	if q.first == nil {
		q.first = d
	} else {
		q.last.next = d
	}
	q.last = d
}
