package console

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
)

// topics are the views of the topics.
type topics struct{ Options }

type topicsView struct {
	Topics []topicState `json:"topics"`
}

type topicState struct {
	kafka.TopicState
	Offsets     int64  `json:"offsets"`               // that were ever written, by all partitions
	Description string `json:"description,omitempty"` // of an event type
}

// list answers GET /console/topics.
func (t topics) list(ctx context.Context, _ struct{}) (v topicsView, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	declared := kafka.Topics(events.Catalogue()...)
	states, err := kafka.InspectTopics(ctx, t.Cluster, declared...)
	if err != nil {
		return v, unavailable(err)
	}
	var names []string
	for _, d := range declared {
		names = append(names, d.Name)
	}
	ends, err := kafka.Ends(ctx, t.Cluster, names...)
	if err != nil {
		return v, unavailable(err)
	}
	for _, s := range states {
		d, _ := events.Lookup(s.Topic)
		v.Topics = append(v.Topics, topicState{s, ends[s.Topic], d.Description})
	}
	return v, nil
}

type topicQuery struct {
	Topic string `path:"topic"`
}

type oneTopic struct {
	Topic       string           `json:"topic"`
	Description string           `json:"description"`
	Group       string           `json:"group"`
	Partitions  []partitionState `json:"partitions"`
	Sample      string           `json:"sample"` // an event of the type, as first released
}

type partitionState struct {
	Partition int32  `json:"partition"`
	End       int64  `json:"end"`
	Committed *int64 `json:"committed"` // null = nothing
	Owner     string `json:"owner,omitempty"`
}

// group describes the consumer group of an event type's topic.
func (t topics) group(ctx context.Context, topic string) (d events.Definition, g kafka.GroupState, err error) {
	d, ok := events.Lookup(topic)
	if !ok {
		return d, g, events.Errorf(events.NotFound, "no event type has this topic; the topics are %s",
			strings.Join(t.DeadLetters.Topics, ", "))
	}
	groups := maps.Clone(t.Groups)
	maps.DeleteFunc(groups, func(_, of string) bool { return of != topic })
	states, err := kafka.Groups(ctx, t.Cluster, groups)
	if err != nil {
		return d, g, unavailable(err)
	}
	return d, states[0], nil
}

// get answers GET /console/topics/{topic}.
func (t topics) get(ctx context.Context, q topicQuery) (v oneTopic, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	d, g, err := t.group(ctx, q.Topic)
	if err != nil {
		return v, err
	}
	sample, err := d.Sample()
	if err != nil {
		return v, err
	}
	v = oneTopic{Topic: d.Topic, Description: d.Description, Group: g.Group, Sample: string(sample)}
	for _, n := range slices.Sorted(maps.Keys(g.Ends)) {
		p := partitionState{Partition: n, End: g.Ends[n]}
		if at, ok := g.Committed[n]; ok {
			p.Committed = &at
		}
		for _, o := range g.Owners {
			if slices.Contains(o.Partitions, n) {
				p.Owner = o.Member
			}
		}
		v.Partitions = append(v.Partitions, p)
	}
	return v, nil
}

// lastRecords is how many records of each partition are shown.
const lastRecords = 10

type recordsView struct {
	Records []feedEvent `json:"records"` // newest first
}

// records answers GET /console/topics/{topic}/records.
func (t topics) records(ctx context.Context, q topicQuery) (v recordsView, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, g, err := t.group(ctx, q.Topic)
	if err != nil {
		return v, err
	}
	from := map[int32]int64{}
	for n, end := range g.Ends {
		from[n] = max(end-lastRecords, 0)
	}
	_, err = kafka.ReadTopic(ctx, t.Cluster, t.Logger, q.Topic, from, g.Ends, func(r bus.Record) error {
		v.Records = append(v.Records, feedEventOf(r))
		return nil
	})
	slices.SortStableFunc(v.Records, func(a, b feedEvent) int { return b.At.Compare(a.At) })
	return v, unavailable(err)
}
