package bus

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// giveUp ends the retries of events that are refused for themselves alone, such as mail to one full mailbox. It takes
// recent successes of other events as proof that there is no outage.
type giveUp struct {
	needed      atomic.Bool  // an event was refused for itself alone
	lastSuccess atomic.Int64 // since then, Unix nanoseconds
}

const (
	blockingFor = time.Hour       // how long such an event may hold up later events of its partition
	proofFor    = blockingFor / 2 // how long a success of another event counts
)

func (g *giveUp) succeeded() {
	if g.needed.Load() {
		g.lastSuccess.Store(time.Now().UnixNano())
	}
}

// due returns the reason to reject d, or nil to go on. blocking means that later events of the partition wait for d.
func (g *giveUp) due(d *delivery, err error, blocking bool, after time.Duration) error {
	if refused, ok := errors.AsType[*events.Error](err); !ok || !refused.EventOnly {
		return nil
	}
	g.needed.Store(true)
	now, t := time.Now(), d.troubled()
	if t.since.IsZero() {
		t.since = now
	}
	failing, age := now.Sub(t.since), now.Sub(d.record.Timestamp)
	outage := now.Sub(time.Unix(0, g.lastSuccess.Load())) > proofFor
	if outage || failing < min(blockingFor, after) || !blocking && age < after {
		return nil
	}
	return fmt.Errorf("given up after %s: %w", max(failing, age).Round(time.Second), err)
}
