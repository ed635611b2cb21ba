package console

import (
	"context"
	"maps"
	"sync"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
)

// maxLetters bounds the rejections that are read, in memory; some 100 MB.
const maxLetters = 100_000

// letters keeps the rejections until a dead-letter topic or the audit topic changes.
type letters struct {
	client *deadletters.Client

	mu       sync.Mutex
	ends     map[string]map[int32]int64 // of the topics when they were read
	all      []*deadletters.Rejection   // not to be changed
	complete bool
}

// get returns the rejections, in the order of their records.
func (l *letters) get(ctx context.Context) (all []*deadletters.Rejection, complete bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.all, l.complete, l.ends = all, complete, ends
	return all, complete, nil
}
