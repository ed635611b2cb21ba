package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

func (p *parts) consumers() consumers.Consumers {
	return consumers.Consumers{
		Publisher: p.telemetry.publisher(p.publisher), Notifier: p.notifier, Store: p.store, Claims: p.claims,
		AnnouncedBy: p.app.settings.AnnouncedByProducer,
	}
}

// allConsumers is the table of the consumers, to be read only.
func allConsumers() []consumers.Function { return consumers.Consumers{}.Functions() }

// startConsumers runs the consumers until the parts are closed; the first failure is one of all. assigned, if not nil, is called
// with the partitions of a topic when they change.
func (p *parts) startConsumers(functions []consumers.Function, assigned func(topic string, partitions []int32)) error {
	deadLetters, err := p.openDeadLetters()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, function := range functions {
		options := p.telemetry.consumer(function.Consumer, p.consumers().DeadLetters(deadLetters), p.app.settings.Notify.RetryFor)
		p.consumed = append(p.consumed, consumed{function.Consumer, options.Watch})
		running.Go(func() {
			options.Assigned, options.Advance = assigned, p.store.Advance
			if err := kafka.Consume(p.running, p.cluster, function.Consumer, options); err != nil {
				p.fail(err)
			}
		})
	}
	p.checks = append(p.checks, p.consumersCheck())
	p.add("consumers", func(context.Context) error { // each has a timeout of its own
		p.stop()
		running.Wait()
		return nil
	})
	return nil
}

// consumed is a consumer that this process runs.
type consumed struct {
	consumer bus.Consumer
	watch    *kafka.Watch
}

// consumersCheck fails while a consumer does not read all that it has to, and once it knows of events that the log lost.
func (p *parts) consumersCheck() web.Check {
	statuses := func() (all []kafka.Status, faulty []string) {
		for _, c := range p.consumed {
			s, running := c.watch.Status()
			if !running {
				s = kafka.Status{Topic: c.consumer.Topic, Group: c.consumer.Group, Partitions: []int32{}}
			}
			if all = append(all, s); !s.Healthy() {
				faulty = append(faulty, s.Topic)
			}
		}
		return all, faulty
	}
	return web.Check{
		Name: "consumers",
		Probe: func(context.Context) error {
			if _, faulty := statuses(); faulty != nil {
				return fmt.Errorf("consumers of %s are not healthy", strings.Join(faulty, ", "))
			}
			return nil
		},
		Facts: func() any {
			all, _ := statuses()
			return all
		},
	}
}

// serveHealth serves /healthz and /readyz of a worker.
func (p *parts) serveHealth(address string) error {
	listener, err := listen(address, "--health")
	if err != nil {
		return err
	}
	p.serveHTTP("health", listener, web.Router(web.Health(append(p.checks, p.storeCheck())...)))
	p.app.logger.Info("health", "url", "http://"+listener.Addr().String()+"/readyz")
	return nil
}

func showConsumers(table *tabwriter.Writer, functions []consumers.Function) {
	fmt.Fprintln(table, "TOPIC\tPARTITIONS\tCONSUMER GROUP\tDESCRIPTION")
	for _, f := range functions {
		d, _ := events.Lookup(f.Consumer.Topic)
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", d.Topic, d.Partitions, f.Consumer.Group, d.Description)
	}
}
