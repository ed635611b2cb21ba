package cli

import (
	"context"
	"fmt"
	"sync"
	"text/tabwriter"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
)

func (p *parts) consumers() consumers.Consumers {
	return consumers.Consumers{
		Publisher: p.seen.publisher(p.publisher), Notifier: p.notifier, Store: p.store, Claims: p.claims, AnnouncedBy: p.app.settings.AnnouncedByProducer,
	}
}

// allConsumers is the table of them, for those who only look at it.
func allConsumers() []consumers.Function { return consumers.Consumers{}.Functions() }

// startConsumers runs the consumers until the parts are closed; the first that fails is a failure of all. assigned, if not
// nil, is told which partitions they have.
func (p *parts) startConsumers(functions []consumers.Function, assigned func(topic string, partitions []int32)) error {
	letters, err := p.openDeadLetters()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, function := range functions {
		running.Go(func() {
			options := p.seen.consumer(function.Consumer, letters, p.app.settings.Notify.RetryFor)
			options.Assigned, options.Advance = assigned, p.store.Advance
			if err := kafka.Consume(p.running, p.cluster, function.Consumer, options); err != nil {
				p.fail(err)
			}
		})
	}
	p.add("consumers", func(context.Context) error { // they bound themselves
		p.stop()
		running.Wait()
		return nil
	})
	return nil
}

func showConsumers(table *tabwriter.Writer, functions []consumers.Function) {
	fmt.Fprintln(table, "TOPIC\tPARTITIONS\tCONSUMER GROUP\tWHAT")
	for _, f := range functions {
		d, _ := events.Lookup(f.Consumer.Topic)
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", d.Topic, d.Partitions, f.Consumer.Group, d.Description)
	}
}
