package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/store"
	"golang.org/x/sync/errgroup"
)

const (
	maxDemand = 2000 // rows of demand, one for each drink and place, that are added up
	maxDrinks = 50   // that are shown
)

type demandQuery struct {
	Country string `query:"country"`
	City    string `query:"city"`
}

type demandView struct {
	Drinks   []drinkCount `json:"drinks"` // the most wanted first, at most [maxDrinks]
	Total    int64        `json:"total"`  // of all drinks
	Kinds    int          `json:"kinds"`  // how many drinks there are
	Complete bool         `json:"complete"`
}

type drinkCount struct {
	Drink string `json:"drink"`
	Count int64  `json:"count"`
}

func (c *console) demand(ctx context.Context, q demandQuery) (v demandView, err error) {
	counts := map[string]*drinkCount{}
	page := store.DemandQuery{Country: q.Country, City: q.City, Limit: store.MaxLimit}
	for range maxDemand / store.MaxLimit {
		found, err := c.Store.Demand(ctx, page)
		if err != nil {
			return v, err
		}
		for _, row := range found.Items {
			drink := row.Key().Drink
			if counts[drink] == nil {
				counts[drink] = &drinkCount{Drink: row.Drink}
			}
			counts[drink].Count += row.Count
			v.Total += row.Count
		}
		if page.Cursor = found.Next; page.Cursor == "" {
			v.Complete = true
			break
		}
	}
	for _, drink := range counts {
		v.Drinks = append(v.Drinks, *drink)
	}
	slices.SortFunc(v.Drinks, func(a, b drinkCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Drink, b.Drink))
	})
	v.Kinds = len(v.Drinks)
	v.Drinks = v.Drinks[:min(v.Kinds, maxDrinks)]
	return v, nil
}

const (
	feedEvery   = 250 * time.Millisecond
	feedEvents  = 20   // in that time; others are counted
	maxFeedText = 2000 // bytes of a value that are shown
	keepAlive   = 10 * time.Second
)

type feedEvent struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	At        time.Time `json:"at"`
	Key       string    `json:"key"`
	EventID   string    `json:"eventId,omitempty"`
	Value     *string   `json:"value"`              // the beginning
	Rejected  string    `json:"rejected,omitempty"` // why, and which record, of a dead letter
}

func feedEventOf(r bus.Record) feedEvent {
	e := feedEvent{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, At: r.Timestamp,
		Key: *text(append([]byte{}, r.Key...), 200), Value: text(r.Value, maxFeedText)}
	if l, ok := bus.ParseDeadLetter(r); ok {
		r = l.Record
		e.Rejected = r.Position().String() + " by " + l.Consumer + " as " + string(l.Class) + ": " + l.Reason
	}
	e.EventID, _ = r.Identify()
	return e
}

type batch struct {
	Events  []feedEvent `json:"events"`
	Skipped int64       `json:"skipped"` // events that came too fast to be shown
}

// feed answers with a stream of server-sent events: what is written to the topics from now on, until the client goes away or the
// server stops.
func (c *console) feed(w http.ResponseWriter, r *http.Request) {
	tails, ctx := errgroup.WithContext(r.Context())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	topics := c.DeadLetters.Topics
	queue, skipped := make(chan feedEvent, feedEvents+len(topics)), atomic.Int64{} // all topics may add one at the same time
	for _, topic := range topics {
		tails.Go(func() error {
			return kafka.Tail(ctx, c.Cluster, topic, kafka.TailOptions{Follow: true, Logger: c.Logger}, func(r bus.Record) error {
				if len(queue) < feedEvents {
					queue <- feedEventOf(r)
				} else {
					skipped.Add(1)
				}
				return nil
			})
		})
	}
	defer func() { _ = tails.Wait() }() // it ends with ctx
	defer cancel()
	write := stream(w, "text/event-stream")
	tick := time.NewTicker(feedEvery)
	defer tick.Stop()
	write([]byte(": live\n\n"))
	for wrote := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done(): // the client has gone, or the brokers do not answer: it connects again
			return
		case <-c.Running.Done():
			return
		}
		b := batch{Skipped: skipped.Swap(0)}
		for range len(queue) {
			b.Events = append(b.Events, <-queue)
		}
		switch {
		case len(b.Events) > 0:
			write(slices.Concat([]byte("data: "), line(b), []byte("\n")))
		case time.Since(wrote) > keepAlive:
			write([]byte(": nothing new\n\n"))
		default:
			continue
		}
		wrote = time.Now()
	}
}
