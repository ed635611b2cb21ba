// Package trigger is the Lambda side of a topic: the payload that AWS's Kafka event source mapping sends to a function
// ([Decode]), the response that it expects, and between them the delivery engine of package bus ([Handler]), the same as a
// worker's.
//
// It guarantees what package bus guarantees, over any number of invocations: a record of a payload is handled, or it is given
// back and retried, with all records after it in its partition. A payload that cannot be read fails the invocation. When
// [Handler.Invoke] has returned nothing runs on, because Lambda freezes the process then.
//
// It knows neither Lambda's runtime (Invoke is its Handler interface) nor Kafka's protocol.
package trigger

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/bus"
)

const (
	timeout = time.Minute            // of an invocation whose context has no deadline
	margin  = 500 * time.Millisecond // reserved for the response
	finish  = time.Second            // before the end of the handlers' time, in which none is started
)

// Options tune a handler; the zero value of each means its default.
type Options struct {
	// Partial is whether the mapping has ReportBatchItemFailures: records to retry are named in the response. Without it a
	// batch with records to retry fails as a whole. It must match the mapping: a list that AWS does not expect counts as
	// success, and the records are lost.
	Partial bool

	// Advance, if set, is called with the offsets of a batch that were handled, from one up to another by partition, before
	// they are reported as handled. Its error fails the invocation, and the batch is retried.
	Advance func(ctx context.Context, topic string, from, to map[int32]int64) error

	// Delivery tunes the engine. Its Overrun exits the process by default, so that Lambda starts another: a handler that
	// ignores its deadline must not run beside the next invocation.
	Delivery bus.Options
	Logger   *slog.Logger // the default one
}

// Handler passes the batches of one topic to its consumer. Its engine lives as long as the process, so that the next
// invocation remembers an outage. Invocations may run at the same time.
//
// The end of an invocation's time is reserved: 500 ms for the response, and before it the engine's Grace for handlers that
// must be abandoned. Where these are more than half of the time (a function timeout below 11 s), half is reserved: a handler
// that uses up its grace is then ended by Lambda instead of Overrun. No handler is started in the last second before that, or
// in the last tenth, so that what runs can end well.
type Handler struct {
	engine  *bus.Engine
	topic   string
	options Options
}

// New makes the handler of a consumer.
func New(c bus.Consumer, deadLetters bus.DeadLetters, o Options) *Handler {
	o.Delivery.Grace = cmp.Or(o.Delivery.Grace, 5*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Delivery.Logger = cmp.Or(o.Delivery.Logger, o.Logger)
	if o.Delivery.Overrun == nil {
		o.Delivery.Overrun = func(err error) {
			o.Logger.Error("the process must end", "topic", c.Topic, "error", err)
			os.Exit(1)
		}
	}
	return &Handler{engine: bus.NewEngine(c, deadLetters, o.Delivery), topic: c.Topic, options: o}
}

// Invoke handles the batch in payload. It returns when all of it is handled, when ctx is done or its deadline near, or when
// nothing more can be done before that. The answer is AWS's batchItemFailures.
//
// An error makes AWS retry the whole batch: an unreadable payload, a record of another topic, or records to retry without
// [Options].Partial. Handlers recognize repeats of what was handled.
//
// AWS sends the records of a partition in offset order, one batch at a time. Should they be out of order they are sorted,
// because a response names records by offset; a repeated offset does no harm.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	records, err := Decode(payload)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if r := &records[i]; r.Topic != h.topic {
			return nil, fmt.Errorf("the batch has a record of topic %.249q (partition %d, offset %d), and this function "+
				"consumes %q only: give each topic its own mapping and function", r.Topic, r.Partition, r.Offset, h.topic)
		}
	}
	all := partitions(records)
	h.deliver(ctx, all)
	if err := h.advance(ctx, all); err != nil {
		return nil, err
	}
	failures := unhandled(all)
	if len(failures) > 0 {
		err := retryError(failures, len(records))
		if !h.options.Partial {
			return nil, err
		}
		h.options.Logger.WarnContext(ctx, "records are returned for retry", "topic", h.topic, "error", err)
	}
	return json.Marshal(response{failures})
}

type partition struct {
	*bus.Partition                // nil = there was no time at all
	records        []bus.Record   // the engine's, once they are delivered
	positions      []bus.Position // of the records
}

// partitions splits records by partition, in offset order.
func partitions(records []bus.Record) (all []partition) {
	byOffset := func(a, b bus.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	}
	slices.SortStableFunc(records, byOffset)
	for i, r := range records {
		if i == 0 || r.Partition != records[i-1].Partition {
			all = append(all, partition{})
		}
		last := &all[len(all)-1]
		last.records = append(last.records, r)
		last.positions = append(last.positions, bus.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset})
	}
	return all
}

// deliver passes the partitions to the engine and waits until they are handled or the time is over.
func (h *Handler) deliver(ctx context.Context, all []partition) {
	left := timeout
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	left -= min(margin+h.options.Delivery.Grace, left/2)
	end := time.Now().Add(left)
	lastStart := end.Add(-min(finish, left/10))
	if ctx.Err() != nil || !time.Now().Before(lastStart) {
		return
	}
	waiting, stop := context.WithDeadline(ctx, lastStart)
	defer stop()
	for i := range all {
		p := &all[i]
		p.Partition = h.engine.Open(ctx, p.positions[0].Partition, end, nil)
		p.Deliver(p.records)
	}
	var done sync.WaitGroup
	for i := range all {
		done.Go(func() {
			_ = all[i].Wait(waiting) // Handled returns the same
			h.close(ctx, &all[i], end)
		})
	}
	done.Wait()
}

func (h *Handler) close(ctx context.Context, p *partition, end time.Time) {
	if ctx.Err() != nil { // the invocation is to end now
		end = time.Now().Add(min(finish, time.Until(end)))
	}
	closing, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	if err := p.Close(closing); err != nil {
		h.options.Logger.WarnContext(ctx, "unfinished work is abandoned and will be repeated", "topic", h.topic, "error", err)
	}
}

func (h *Handler) advance(ctx context.Context, all []partition) error {
	from, to := map[int32]int64{}, map[int32]int64{}
	for _, p := range all {
		if p.Partition == nil {
			continue
		}
		first := p.positions[0]
		if handled, _, ok := p.Handled(); ok && handled > first.Offset {
			from[first.Partition], to[first.Partition] = first.Offset, handled
		}
	}
	if h.options.Advance == nil || len(to) == 0 {
		return nil
	}
	return h.options.Advance(ctx, h.topic, from, to)
}

// response names the records of a batch that AWS has to retry: of each partition the first that is not handled and all after it.
// It names none that was not in the batch, because AWS treats that as a failure of the whole batch. On success the list is empty,
// not null or missing.
//
// AWS reads it only for a mapping with ReportBatchItemFailures, which Kafka has in provisioned mode
// (https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html). For any other mapping every answer is a
// success.
type response struct {
	Failures []failure `json:"batchItemFailures"`
}

type failure struct {
	Record identifier `json:"itemIdentifier"`
}

type identifier struct {
	Partition string `json:"partition"` // <topic>-<number>
	Offset    int64  `json:"offset"`
}

func unhandled(all []partition) []failure {
	failures := []failure{}
	for _, p := range all {
		handled := int64(0)
		if p.Partition != nil {
			handled, _, _ = p.Handled()
		}
		for _, at := range p.positions {
			if at.Offset >= handled {
				failures = append(failures, failure{identifier{fmt.Sprintf("%s-%d", at.Topic, at.Partition), at.Offset}})
			}
		}
	}
	return failures
}

// retryError names the partitions with the first record of each to retry.
func retryError(failures []failure, records int) error {
	var first []string
	for i, f := range failures {
		if i == 0 || f.Record.Partition != failures[i-1].Record.Partition {
			first = append(first, fmt.Sprintf("%s from offset %d", f.Record.Partition, f.Record.Offset))
		}
	}
	return fmt.Errorf("%d of %d records are not handled and must be retried: %s; the log line of an event gives its reason, "+
		"and an event without one was not reached in time", len(failures), records, strings.Join(first, ", "))
}
