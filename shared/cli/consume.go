package cli

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"text/tabwriter"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
)

// working is what is told of consumers while they run; the zero value is told nothing.
type working struct {
	report   func(bus.Report)
	assigned func(topic string, partitions []int32)
}

func (p *parts) consumers() consumers.Consumers {
	return consumers.Consumers{
		Publisher: p.publisher, Notifier: p.notifier, Store: p.store, AnnouncedBy: p.app.settings.AnnouncedByProducer,
	}
}

// allConsumers is the table of them, for those who only look at it.
func allConsumers() []consumers.Function { return consumers.Consumers{}.Functions() }

// startConsumers runs the consumers until the parts are closed; the first that fails is a failure of all.
func (p *parts) startConsumers(functions []consumers.Function, w working) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, function := range functions {
		running.Go(func() {
			err := kafka.Consume(ctx, p.cluster, function.Consumer, kafka.Options{
				Delivery: bus.Options{Report: w.report}, Assigned: w.assigned, Logger: p.app.logger,
			})
			if err != nil {
				p.fail(err)
			}
		})
	}
	p.add("consumers", func(context.Context) error { // they bound themselves
		stop()
		running.Wait()
		return nil
	})
}

func showConsumers(table *tabwriter.Writer, functions []consumers.Function) {
	fmt.Fprintln(table, "TOPIC\tPARTITIONS\tCONSUMER GROUP\tWHAT")
	for _, f := range functions {
		d, _ := events.Lookup(f.Consumer.Topic)
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", d.Topic, d.Partitions, f.Consumer.Group, d.Description)
	}
}

// showReport is one line per try of an event: ids, how it ended and how long it took. What the event says is in none.
func showReport(logger *slog.Logger) func(bus.Report) {
	return func(r bus.Report) {
		level, attributes := slog.LevelInfo, []slog.Attr{
			slog.String("topic", r.Topic), slog.Int("partition", int(r.Partition)), slog.Int64("offset", r.Offset),
			slog.String("event", r.EventID), slog.String("outcome", string(r.Outcome)), slog.Duration("took", r.Took),
		}
		if r.Outcome != bus.Done {
			level = slog.LevelWarn
			attributes = append(attributes, slog.Int("attempt", r.Attempt), slog.Any("error", r.Err))
		}
		logger.LogAttrs(context.Background(), level, said[r.Outcome], attributes...)
	}
}

// said is each outcome in plain words.
var said = map[bus.Outcome]string{
	bus.Done:        "handled",
	bus.Rejected:    "rejected: it stands in the dead letters",
	bus.Unavailable: "not now: something it needs is out of reach; it is tried again",
	bus.Failed:      "failed; it is tried again",
}
