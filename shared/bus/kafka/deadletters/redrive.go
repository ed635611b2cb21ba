package deadletters

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"
)

// Result is what an action did about one rejection.
type Result struct {
	ID       string `json:"id"`
	Consumer string `json:"consumer"`
	Result   string `json:"result"`
	Why      string `json:"why,omitempty"` // of a refused, a skipped or a failed one
	Done     bool   `json:"-"`             // what was wanted is done, by this action or by an earlier one
}

// The results of an action.
const (
	ResultRedriven  = string(Redriven)
	ResultDiscarded = string(Discarded)
	ResultRefused   = "refused" // by the preview
	ResultSkipped   = "skipped" // redriven or discarded since the preview
	ResultFailed    = "failed"  // see Why; the same token tries again
)

// stateAfter is the state of a rejection after an action, and the result of the action.
func stateAfter(kind Kind) State {
	if kind == Discard {
		return Discarded
	}
	return Redriven
}

// ActOptions are who acts and how.
type ActOptions struct {
	Who    string       // for the audit record
	Rate   int          // rejections a second, at most; 0 = no limit
	Reason string       // of a discard
	Report func(Result) // called for each rejection of the preview, in the order of their records
}

// Redrive writes the eligible rejections of a preview to their topics again, for the consumers that rejected them. Each is
// acknowledged by all in-sync replicas before the next. When ctx is done or the brokers fail it stops; the same token continues.
// An error says why not all rejections were reported.
func (c *Client) Redrive(ctx context.Context, preview string, o ActOptions) error {
	return c.act(ctx, Redrive, preview, o)
}

// Discard closes all rejections of a preview, the refused ones too. Their dead letters stay on their topics.
func (c *Client) Discard(ctx context.Context, preview string, o ActOptions) error {
	return c.act(ctx, Discard, preview, o)
}

// transactionalID is one for all actions, so that only one runs at a time.
const transactionalID = "sipeat-dead-letters"

// transactionTimeout bounds a transaction, and the end of an interrupted action.
const transactionTimeout = 30 * time.Second

// action is a redrive or a discard under way.
type action struct {
	ActOptions
	kind    Kind
	id      string
	of      *Client
	client  *kgo.Client
	done    actions // as of the begin
	results map[string]int
	stuck   bool // the transaction could not be ended, so that the client can write nothing more; the next action ends it
}

func (c *Client) act(ctx context.Context, kind Kind, preview string, o ActOptions) error {
	t, err := parseToken(preview)
	if err != nil {
		return err
	}
	s := &snapshot{filter: t.Filter, values: isOpen}
	if err := c.read(ctx, t.Bounds, s); err != nil {
		return err
	}
	set := s.matching(false)
	if len(set) != t.Count || !bytes.Equal(digest(set), t.Set) {
		return errors.New("the dead letters are not those of the preview: is this another cluster, or were topics created again? " +
			"make a new preview")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	a := &action{ActOptions: o, kind: kind, id: id.String(), of: c, done: actions{}, results: map[string]int{}}
	if a.client, err = kafka.NewClient(c.Cluster, c.Logger, kgo.TransactionalID(transactionalID),
		kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(kafka.TopicMaxBytes)); err != nil {
		return err
	}
	defer a.client.Close()
	// Ends the transaction of an action that was killed, so that the audit topic is complete.
	if _, _, err := a.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("begin transactions as %s: %w", transactionalID, err)
	}
	if err := c.readTopic(ctx, bus.AuditTopic, nil, &snapshot{bounds: bounds{}}, a.done.add); err != nil {
		return err
	}
	if err := a.write(ctx, nil, AuditRecord{Stage: stageBegin, Filter: &t.Filter, Count: len(set), Reason: o.Reason}); err != nil {
		return err
	}
	err = a.run(ctx, set, t)
	if a.stuck {
		return err
	}
	end := AuditRecord{Stage: stageEnd, Results: a.results}
	if err != nil {
		end.Error = err.Error()
	}
	return errors.Join(err, a.write(ctx, nil, end))
}

// run acts on the rejections in turn.
func (a *action) run(ctx context.Context, set []*Rejection, t *token) error {
	limit := rate.NewLimiter(rate.Inf, 1)
	if a.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(a.Rate), 1)
	}
	for i, r := range set {
		result := Result{ID: r.ID, Consumer: r.Consumer, Result: string(stateAfter(a.kind))}
		var err error
		switch state := a.done.stateOf(r.source(), r.Redrives); {
		case state != Open:
			result.Result, result.Why, result.Done = ResultSkipped, "already "+string(state), state == stateAfter(a.kind)
		case a.kind == Redrive && !t.eligible(i):
			result.Result, result.Why = ResultRefused, "see the preview"
		default:
			if err = limit.Wait(ctx); err != nil {
				return fmt.Errorf("interrupted before %s: the same token continues", r.ID)
			}
			if err = a.close(ctx, r); err != nil {
				result.Result, result.Why = ResultFailed, err.Error()
			}
			result.Done = err == nil
		}
		a.results[result.Result]++
		a.Report(result)
		if err != nil && !errors.Is(err, kerr.MessageTooLarge) { // that is of this one alone
			return fmt.Errorf("stopped at %s: %w; the same token continues", r.ID, err)
		}
	}
	return nil
}

// close redrives or discards one rejection.
func (a *action) close(ctx context.Context, r *Rejection) error {
	audit := AuditRecord{Stage: stageItem, ID: r.ID, Consumer: r.Consumer}
	if a.kind == Discard {
		return a.write(ctx, nil, audit)
	}
	audit.Redrive = r.Redrives + 1
	again := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Record.Key, Value: r.Record.Value}
	if r.Record.Timestamp.Before(time.Now()) { // an event that has no timestamp of its own keeps this one; brokers refuse the future
		again.Timestamp = r.Record.Timestamp
	}
	for _, h := range r.Record.Headers {
		switch h.Key {
		case bus.HeaderRedriveConsumer, bus.HeaderRedriveOf, bus.HeaderRedrives:
		default:
			again.Headers = append(again.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	again.Headers = append(again.Headers,
		kgo.RecordHeader{Key: bus.HeaderRedriveConsumer, Value: []byte(r.Consumer)},
		kgo.RecordHeader{Key: bus.HeaderRedriveOf, Value: []byte(r.ID)},
		kgo.RecordHeader{Key: bus.HeaderRedrives, Value: strconv.AppendInt(nil, int64(audit.Redrive), 10)})
	return a.write(ctx, again, audit)
}

var errUnconfirmed = errors.New("the brokers did not confirm it in time: it may be written, or not")

// write writes a record, if there is one, and the audit record of it in one transaction, which the end of ctx does not interrupt.
// It waits on its own timer, because no option of the client bounds a record in flight.
func (a *action) write(ctx context.Context, record *kgo.Record, audit AuditRecord) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(a.of.timeout, transactionTimeout))
	defer cancel()
	audit.Action, audit.Kind, audit.Who, audit.At = a.id, a.kind, a.Who, time.Now().UTC()
	written, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		err := a.client.BeginTransaction()
		if err == nil {
			err = a.produce(ctx, record, audit)
		}
		ended <- a.client.EndTransaction(ctx, kgo.TransactionEndTry(err == nil))
		written <- err
	}()
	a.stuck = true
	select {
	case end := <-ended:
		a.stuck = end != nil
		return explain(cmp.Or(<-written, end))
	case <-ctx.Done():
		return errUnconfirmed
	}
}

func (a *action) produce(ctx context.Context, record *kgo.Record, audit AuditRecord) error {
	if record != nil {
		written, err := a.client.ProduceSync(ctx, record).First()
		if err != nil {
			return err
		}
		audit.Copy = FormatID(bus.Position{Topic: written.Topic, Partition: written.Partition, Offset: written.Offset})
	}
	value, err := json.Marshal(audit)
	if err != nil {
		return err
	}
	return a.client.ProduceSync(ctx, &kgo.Record{Topic: bus.AuditTopic, Key: []byte(cmp.Or(audit.ID, audit.Action)), Value: value}).
		FirstErr()
}

func explain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errUnconfirmed
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
		return fmt.Errorf("another redrive or discard has begun: %w", err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return events.Wrap(events.NotFound, err, "topic "+bus.AuditTopic+" or the event's topic is missing: run `sipeat topics`")
	case errors.Is(err, kerr.MessageTooLarge):
		return events.Wrap(events.Invalid, err, "the event fills its topic's max.message.bytes, and a redrive adds headers")
	}
	return err
}
