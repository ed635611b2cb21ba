package faults

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// collect reads the topics, the commits, the read model and the counters. If all is handled, it also builds the read model
// again.
func (r *rig) collect(ctx context.Context, handled bool) error {
	ctx, cancel := context.WithTimeout(ctx, brokerTime)
	defer cancel()
	var all errgroup.Group
	all.Go(func() error { return r.collectRecords(ctx) })
	all.Go(r.collectReports)
	for _, route := range []string{"contacts", "machines", "requests", "notifications"} {
		all.Go(func() error { return r.collectItems(ctx, route) })
	}
	all.Go(func() error { return r.collectDemand(ctx) })
	all.Go(func() error { return r.collectCounters(ctx) })
	if handled {
		all.Go(func() error { r.rebuild(ctx); return nil })
	}
	return all.Wait()
}

func (r *rig) collectCounters(ctx context.Context) (err error) {
	for _, p := range r.parts() {
		p.mu.Lock()
		p.noteMemory()
		process := p.title()
		p.mu.Unlock()
		var text []byte
		err = errors.Join(err, until(ctx, brokerTime/4, func(ctx context.Context) (err error) {
			text, err = get(ctx, "http://"+p.metrics+"/metrics")
			return err
		}))
		c := counters{now(), process, map[string]float64{}}
		for line := range strings.Lines(string(text)) {
			i := strings.LastIndexByte(strings.TrimSpace(line), ' ')
			if v, bad := strconv.ParseFloat(strings.TrimSpace(line[max(i, 0):]), 64); bad == nil && strings.HasPrefix(line, "sipeat_") {
				c.Values[line[:i]] = v
			}
		}
		r.record(c)
	}
	return err
}

// rebuild builds a second read model from the topics and compares it with the first.
func (r *rig) rebuild(ctx context.Context) {
	began := now()
	c := r.command(ctx, "rebuild", "--table", r.table()+"-again", "--once", "--compare", r.table())
	c.Env = append(c.Env, "FAULT_TRACE=") // it is no member of a group
	c.SysProcAttr = untilDeath
	out, err := c.CombinedOutput()
	r.record(rebuilt{when{began.T, time.Now().UnixNano()}, err == nil, string(out)})
}

// collectRecords reads the topics and the commits, and notes the effects with the event ids that they belong to.
func (r *rig) collectRecords(ctx context.Context) error {
	eventIDs := map[string]string{} // by notification, and by refused recipient
	names := append(slices.Clone(topicNames), auditTopic)
	for _, topic := range topicNames {
		names = append(names, topic+".dead-letters")
	}
	err := r.readAll(ctx, func(k *kgo.Record) {
		r.recordOf(k)
		var e struct {
			EventID string `json:"eventId"`
			Data    struct {
				ID             string `json:"id"`
				RecipientEmail string `json:"recipientEmail"`
			} `json:"data"`
		}
		if k.Topic == "notification" && json.Unmarshal(k.Value, &e, jsontext.AllowInvalidUTF8(true)) == nil {
			for _, id := range []string{e.Data.ID, e.Data.RecipientEmail} {
				if _, known := eventIDs[id]; !known && id != "" {
					eventIDs[id] = e.EventID
				}
			}
		}
	}, names...)
	err = errors.Join(err, r.collectCommits(ctx))
	r.sinks.mu.Lock()
	defer r.sinks.mu.Unlock()
	for _, got := range r.sinks.received {
		got.effect.EventID = eventIDs[got.notification]
		r.record(got.effect)
	}
	return err
}

// collectCommits reads what the groups committed. The embedded broker has no topic of it: there the failpoints tell, but for a
// commit that a killed program had no time to note. The last one of each partition may be one of those.
func (r *rig) collectCommits(ctx context.Context) error {
	if r.cluster == nil {
		var all error
		for topic, group := range consumerOf {
			at, err := r.committedOf(ctx, topic)
			all = errors.Join(all, err)
			for n, offset := range at {
				r.record(commit{now(), position{topic, n, offset}, group})
			}
		}
		return all
	}
	return r.readAll(ctx, func(k *kgo.Record) {
		var key kmsg.OffsetCommitKey
		var value kmsg.OffsetCommitValue
		if len(k.Key) < 2 || k.Key[0] != 0 || k.Key[1] > 1 || k.Value == nil ||
			key.ReadFrom(k.Key) != nil || value.ReadFrom(k.Value) != nil {
			return // another kind of record
		}
		at := when{T: k.Timestamp.UnixNano()}
		if k.Timestamp.Before(r.began.Truncate(time.Millisecond)) {
			return // of an earlier run on these servers
		}
		r.record(commit{at, position{key.Topic, key.Partition, value.Offset}, key.Group})
	}, "__consumer_offsets")
}

func (r *rig) recordOf(k *kgo.Record) {
	headers := [][2]string{}
	for _, h := range k.Headers {
		headers = append(headers, header(h.Key, h.Value))
	}
	r.record(record{now(), position{k.Topic, k.Partition, k.Offset}, k.Timestamp.UnixMilli(), k.Key, noted(k.Value), headers})
}

// readAll reads committed records up to the present ends.
func (r *rig) readAll(ctx context.Context, each func(*kgo.Record), names ...string) error {
	var ends kadm.ListedOffsets
	if err := until(ctx, brokerTime, func(ctx context.Context) (err error) {
		ends, err = kadm.NewClient(r.client).ListCommittedOffsets(ctx, names...)
		return errors.Join(err, ends.Error())
	}); err != nil {
		return err
	}
	client, err := r.kafka(kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	type place struct {
		topic     string
		partition int32
	}
	left := map[place]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[place{o.Topic, o.Partition}] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%d partitions are not read to their end: %w", len(left), ctx.Err())
		}
		for k := range fetches.RecordsAll() {
			p := place{k.Topic, k.Partition}
			if !k.Attrs.IsControl() {
				each(k)
			}
			if k.Offset+1 >= left[p] { // it may be the marker of an aborted transaction
				delete(left, p)
			}
		}
	}
	return nil
}

// pages reads a list to its end.
func (r *rig) pages(ctx context.Context, path string, each func(jsontext.Value) error) error {
	for cursor := ""; ; {
		b, err := get(ctx, "http://"+r.apis[0].http+path+"?limit=100"+cursor)
		if err != nil {
			return err
		}
		var page struct {
			Items      []jsontext.Value `json:"items"`
			NextCursor *string          `json:"nextCursor"`
		}
		if err := json.Unmarshal(b, &page); err != nil {
			return err
		}
		for _, one := range page.Items {
			if err := each(one); err != nil {
				return err
			}
		}
		if page.NextCursor == nil {
			return nil
		}
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
}

func (r *rig) collectItems(ctx context.Context, route string) error {
	topic := map[string]string{"contacts": "contact-created", "machines": "machine-created", "requests": "request-created",
		"notifications": "notification"}[route]
	return r.pages(ctx, "/"+route, func(one jsontext.Value) error {
		var named struct {
			ID string `json:"id"`
		}
		err := json.Unmarshal(one, &named)
		r.record(item{now(), topic, named.ID, string(one)})
		return err
	})
}

func (r *rig) collectDemand(ctx context.Context) error {
	return r.pages(ctx, "/demand", func(one jsontext.Value) error {
		d := demand{when: now()}
		err := json.Unmarshal(one, &d)
		r.record(d)
		return err
	})
}
