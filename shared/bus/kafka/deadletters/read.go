package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"golang.org/x/sync/errgroup"
)

// maxBytes is how large the values may be that are held in memory.
const maxBytes = 256 << 20

// bounds are where topics end, by name and partition.
type bounds map[string]map[int32]int64

// snapshot is what the dead-letter topics and the audit topic hold up to some bounds.
type snapshot struct {
	filter Filter
	closed bool // rejections match that are no longer open, too
	values bool // the values of those that match are kept
	limit  int  // ends the reading when there are so many rejections; 0 = none

	done       actions
	rejections map[source]*Rejection
	dead       map[source]bool // every record that was rejected, redriven copies among them

	mu     sync.Mutex
	bounds bounds
	bytes  int
}

var errLimit = errors.New("there are more dead letters than the limit")

// read reads the dead letters of the filter's topic, or of all, and what was done about them: up to the bounds or, if they are
// nil, what there is now. It returns the rejections that match, in the order of their records; after an error those that were
// read until then, and what is open in that is open.
func (c *Client) read(ctx context.Context, until bounds, s *snapshot) ([]*Rejection, error) {
	topics := c.Topics
	if topic := s.filter.Topic; topic != "" {
		if !slices.Contains(topics, topic) {
			return nil, events.Errorf(events.NotFound, "no consumer reads topic %.249q; the topics are %s", topic,
				strings.Join(topics, ", "))
		}
		topics = []string{topic}
	}
	s.done, s.rejections, s.dead, s.bounds = actions{}, map[source]*Rejection{}, map[source]bool{}, bounds{}
	if err := c.readTopic(ctx, bus.AuditTopic, until, s, s.done.add); err != nil {
		return nil, err
	}
	reading, ctx := errgroup.WithContext(ctx)
	for _, topic := range topics {
		reading.Go(func() error { return c.readTopic(ctx, bus.DeadLetterTopic(topic), until, s, s.add) })
	}
	err := reading.Wait()
	return s.matching(), err
}

// readTopic reads a topic, unless it does not exist.
func (c *Client) readTopic(ctx context.Context, topic string, until bounds, s *snapshot, add func(bus.Record) error) error {
	var ends map[int32]int64
	if until != nil {
		ends = map[int32]int64{} // 0 where the preview found nothing
		maps.Copy(ends, until[topic])
	}
	ends, err := kafka.ReadTopic(ctx, c.Cluster, c.Logger, topic, nil, ends, func(r bus.Record) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return add(r)
	})
	if events.KindOf(err) == events.NotFound && len(until[topic]) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds[topic] = ends
	return err
}

// add adds a dead letter. Other records on a dead-letter topic are of another program.
func (s *snapshot) add(record bus.Record) error {
	l, ok := bus.ParseDeadLetter(record)
	if !ok || bus.DeadLetterTopic(l.Record.Topic) != record.Topic {
		return nil
	}
	at := l.Record.Position()
	s.dead[source{at, l.Consumer}] = true
	at, redrives := origin(l.Record, at)
	r := s.rejections[source{at, l.Consumer}]
	if r == nil {
		if s.limit > 0 && len(s.rejections) == s.limit {
			return errLimit
		}
		r = &Rejection{ID: at.String(), Position: at, Consumer: l.Consumer, FirstAt: l.At, LastAt: l.At}
		s.rejections[source{at, l.Consumer}] = r
	}
	if l.At.Before(r.FirstAt) {
		r.FirstAt = l.At
	}
	if redrives < r.Redrives || redrives == r.Redrives && l.At.Before(r.LastAt) { // clocks differ from worker to worker
		return nil // an older one, or a repeat
	}
	s.bytes -= len(r.Record.Value)
	r.Class, r.Reason, r.LastAt, r.Redrives = l.Class, l.Reason, l.At, redrives
	r.Attempts, r.LastAttempts = l.Attempts, l.LastAttempts
	r.Record = bus.Record{}
	r.EventID, r.Key = l.Record.Identify()
	r.State = s.done.stateOf(source{at, l.Consumer}, redrives)
	if s.values && s.matches(r) {
		r.Record = l.Record
	}
	if s.bytes += len(r.Record.Value); s.bytes > maxBytes {
		return fmt.Errorf("the dead letters hold more than %d MiB: select fewer by topic, class, key, id or time", maxBytes>>20)
	}
	return nil
}

// origin is the position of the record that was rejected first, and how often it was redriven.
func origin(r bus.Record, at bus.Position) (bus.Position, int) {
	if first, err := bus.ParsePosition(string(r.Header(bus.HeaderRedriveOf))); err == nil && first.Topic == at.Topic {
		at = first
	}
	redrives, _ := strconv.Atoi(string(r.Header(bus.HeaderRedrives)))
	return at, redrives
}

func (s *snapshot) matches(r *Rejection) bool {
	return s.filter.Matches(r) && (s.closed || r.State == Open)
}

func (s *snapshot) matching() (matching []*Rejection) {
	for _, r := range s.rejections {
		if s.matches(r) {
			matching = append(matching, r)
		}
	}
	slices.SortFunc(matching, func(a, b *Rejection) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset),
			cmp.Compare(a.Consumer, b.Consumer))
	})
	return matching
}
