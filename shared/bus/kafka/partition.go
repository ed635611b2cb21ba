package kafka

import (
	"context"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// partition is a partition whose records are being delivered.
type partition struct {
	*bus.Partition
	room      chan struct{} // signals that a full partition may have room again
	committed int64
	advanced  int64 // up to where Advance was called
	next      int64 // the offset behind the last record that was delivered; 0 = none was
}

// openPartition begins the delivery of a partition. room is called when a full one may have room again.
func openPartition(engine *bus.Engine, n int32, room func()) *partition {
	p := &partition{room: make(chan struct{}, 1)}
	p.Partition = engine.Open(context.Background(), n, time.Time{}, func() {
		room()
		select {
		case p.room <- struct{}{}:
		default: // signalled already
		}
	})
	return p
}

// waitForRoom returns when the partition is not full; false = ctx was done before that.
func (p *partition) waitForRoom(ctx context.Context) bool {
	for p.Full() {
		select {
		case <-p.room:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
