package console

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
)

// maxRejections bounds the rejections that are read, in memory; some 100 MB.
const maxRejections = 100_000

// refreshEvery is how often the dead letters are read again at most, while they change, for a view that is not about them.
const refreshEvery = 5 * time.Second

// rejections keeps the rejections until a dead-letter topic or the audit topic changes.
type rejections struct {
	client *deadletters.Client

	mu       sync.Mutex
	ends     map[string]map[int32]int64 // of the topics when they were read
	at       time.Time
	all      []*deadletters.Rejection // not to be changed
	complete bool
}

// get returns the rejections, in the order of their records, as of now or, unless fresh, a few seconds ago.
func (r *rejections) get(ctx context.Context, fresh bool) (all []*deadletters.Rejection, complete bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !fresh && time.Since(r.at) < refreshEvery {
		return r.all, r.complete, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	topics := []string{bus.AuditTopic}
	for _, topic := range r.client.Topics {
		topics = append(topics, bus.DeadLetterTopic(topic))
	}
	ends, err := kafka.Ends(ctx, r.client.Cluster, topics...)
	if err != nil || r.ends != nil && maps.EqualFunc(ends, r.ends, maps.Equal) {
		return r.all, r.complete, unavailable(err)
	}
	all, complete, err = r.client.ListUpTo(ctx, maxRejections, true)
	if err != nil {
		return r.all, r.complete, unavailable(err)
	}
	r.at, r.ends = time.Now(), ends
	if ctx.Err() != nil { // all is cut short, because the viewer has gone for one: the next one reads again
		r.ends = nil
	}
	if r.ends != nil || len(all) > len(r.all) {
		r.all, r.complete = all, complete
	}
	return all, complete, nil
}
