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

// maxLetters bounds the rejections that are read, in memory; some 100 MB.
const maxLetters = 100_000

// refreshEvery is how often the dead letters are read again at most, while they change, for a view that is not about them.
const refreshEvery = 5 * time.Second

// letters keeps the rejections until a dead-letter topic or the audit topic changes.
type letters struct {
	client *deadletters.Client

	mu       sync.Mutex
	ends     map[string]map[int32]int64 // of the topics when they were read
	at       time.Time
	all      []*deadletters.Rejection // not to be changed
	complete bool
}

// get returns the rejections, in the order of their records, as of now or, unless fresh, a few seconds ago.
func (l *letters) get(ctx context.Context, fresh bool) (all []*deadletters.Rejection, complete bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !fresh && time.Since(l.at) < refreshEvery {
		return l.all, l.complete, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	topics := []string{bus.AuditTopic}
	for _, topic := range l.client.Topics {
		topics = append(topics, bus.DeadLetterTopic(topic))
	}
	ends, err := kafka.Ends(ctx, l.client.Cluster, topics...)
	if err != nil || l.ends != nil && maps.EqualFunc(ends, l.ends, maps.Equal) {
		return l.all, l.complete, unavailable(err)
	}
	all, complete, err = l.client.ListUpTo(ctx, maxLetters)
	if err != nil {
		return l.all, l.complete, unavailable(err)
	}
	l.all, l.complete, l.ends, l.at = all, complete, ends, time.Now()
	return all, complete, nil
}
