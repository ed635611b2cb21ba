package console

import (
	"context"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
)

type topicsView struct {
	Topics []topicState `json:"topics"`
}

type topicState struct {
	kafka.TopicState
	Offsets     int64  `json:"offsets"`               // that were ever written, by all partitions
	Description string `json:"description,omitempty"` // of an event type
}

func (c *console) topics(ctx context.Context, _ struct{}) (v topicsView, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	states, err := kafka.InspectTopics(ctx, c.Cluster, kafka.Topics(events.Catalogue()...)...)
	if err != nil {
		return v, unavailable(err)
	}
	var names []string
	for _, s := range states {
		names = append(names, s.Topic)
	}
	ends, err := kafka.Ends(ctx, c.Cluster, names...)
	if err != nil {
		return v, unavailable(err)
	}
	for _, s := range states {
		d, _ := events.Lookup(s.Topic)
		v.Topics = append(v.Topics, topicState{s, sum(ends[s.Topic]), d.Description})
	}
	return v, nil
}

type topicQuery struct {
	Topic string `path:"topic"`
}

type oneTopic struct {
	Topic       string          `json:"topic"`
	Description string          `json:"description,omitempty"`
	Ends        map[int32]int64 `json:"ends"`             // by partition
	Sample      string          `json:"sample,omitempty"` // an event of the type, as first released
	Schema      string          `json:"schema,omitempty"` // of its records, JSON Schema
}

// ends returns where the partitions of a topic end.
func (c *console) ends(ctx context.Context, topic string) (map[int32]int64, error) {
	ends, err := kafka.Ends(ctx, c.Cluster, topic)
	declared := slices.ContainsFunc(kafka.Topics(events.Catalogue()...), func(d kafka.Topic) bool { return d.Name == topic })
	if err == nil && (!declared || ends[topic] == nil) {
		err = events.Errorf(events.NotFound, "there is no such topic: the topics are %s, their dead letters, and %s",
			strings.Join(c.DeadLetters.Topics, ", "), bus.AuditTopic)
	}
	return ends[topic], unavailable(err)
}

// topic answers GET /console/topics/{topic}. The topics of dead letters and of the audit have no event type.
func (c *console) topic(ctx context.Context, q topicQuery) (v oneTopic, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	v.Topic = q.Topic
	if v.Ends, err = c.ends(ctx, q.Topic); err != nil {
		return v, err
	}
	if d, ok := events.Lookup(q.Topic); ok {
		sample, _ := d.Sample() // a test reads it
		v.Description, v.Sample, v.Schema = d.Description, string(sample), string(c.Schema(d))
	}
	return v, nil
}

// lastRecords is how many records of each partition are shown.
const lastRecords = 10

type recordsView struct {
	Records []feedEvent `json:"records"` // newest first
}

func (c *console) records(ctx context.Context, q topicQuery) (v recordsView, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ends, err := c.ends(ctx, q.Topic)
	if err != nil {
		return v, err
	}
	from := map[int32]int64{}
	for n, end := range ends {
		from[n] = max(end-lastRecords, 0)
	}
	_, err = kafka.ReadTopic(ctx, c.Cluster, c.Logger, q.Topic, from, ends, func(r bus.Record) error {
		v.Records = append(v.Records, feedEventOf(r))
		return nil
	})
	slices.SortStableFunc(v.Records, func(a, b feedEvent) int { return b.At.Compare(a.At) })
	return v, unavailable(err)
}
