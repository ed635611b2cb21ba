package deadletters

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// The results of an action, beside the states [Redriven] and [Discarded].
const (
	ResultRefused = "refused" // by the preview
	ResultSkipped = "skipped" // redriven or discarded since the preview
	ResultFailed  = "failed"  // see Why; the same token tries again
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
	Report func(Result) // called for each rejection of the preview
}

// transactionalID is one for all actions, so that only one runs at a time.
const transactionalID = "sipeat-dead-letters"

// transactionTimeout bounds a transaction, and the end of an interrupted action.
const transactionTimeout = 30 * time.Second

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

// Act writes the eligible rejections of a preview to their topics again, for the consumers that rejected them, or closes all of
// its rejections, the refused ones too, whose dead letters stay on their topics. It takes a batch of up to 100 at a time: one is
// acknowledged by all in-sync replicas before the next. When ctx is done or the brokers fail it stops behind a batch; the same
// token continues. An error says why not all rejections were reported.
func (c *Client) Act(ctx context.Context, kind Kind, preview string, o ActOptions) error {
	t, err := parseToken(preview)
	if err != nil {
		return err
	}
	set, err := c.read(ctx, t.Bounds, &snapshot{filter: t.Filter, values: true})
	if err != nil {
		return err
	}
	if len(set) != t.Count || !bytes.Equal(digest(set), t.Set) {
		return errors.New("the dead letters are not those of the preview: is this another cluster, or were topics created again? " +
			"make a new preview")
	}
	a := &action{ActOptions: o, kind: kind, id: uuid.Must(uuid.NewV7()).String(), of: c, done: actions{},
		results: map[string]int{}}
	if a.client, err = kafka.NewClient(c.Cluster, c.Logger, kgo.TransactionalID(transactionalID),
		kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(samePartition)),
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

// A batch is written in one transaction.
const (
	maxBatch      = 100     // rejections
	maxBatchBytes = 4 << 20 // of their records
)

func (a *action) run(ctx context.Context, set []*Rejection, t *token) error {
	most, limit := maxBatch, rate.NewLimiter(rate.Inf, maxBatch)
	if a.Rate > 0 {
		most = min(max(a.Rate/10, 1), maxBatch)
		limit = rate.NewLimiter(rate.Limit(a.Rate), most)
	}
	var batch []*Rejection
	size := 0 // in bytes
	for i, r := range set {
		switch state := a.done.stateOf(source{r.Position, r.Consumer}, r.Redrives); {
		case state != Open:
			a.report(r, ResultSkipped, "already "+string(state), state == stateAfter(a.kind))
		case a.kind == Redrive && !t.eligible(i):
			a.report(r, ResultRefused, "see the preview", false)
		default:
			batch, size = append(batch, r), size+len(r.Record.Key)+len(r.Record.Value)
		}
		if len(batch) == 0 || i < len(set)-1 && len(batch) < most && size < maxBatchBytes {
			continue
		}
		if limit.WaitN(ctx, len(batch)) != nil {
			return fmt.Errorf("interrupted before %s: the same token continues", batch[0].ID)
		}
		if err := a.close(ctx, batch); err != nil {
			return err
		}
		batch, size = nil, 0
	}
	return nil
}

func (a *action) report(r *Rejection, result, why string, done bool) {
	a.results[result]++
	a.Report(Result{r.ID, r.Consumer, result, why, done})
}

func (a *action) close(ctx context.Context, batch []*Rejection) error {
	var copies []*kgo.Record
	var audits []AuditRecord
	for _, r := range batch {
		audit := AuditRecord{Stage: stageItem, ID: r.ID, Consumer: r.Consumer}
		if a.kind == Redrive {
			audit.Redrive = r.Redrives + 1
			copies = append(copies, copyOf(r))
		}
		audits = append(audits, audit)
	}
	err := a.write(ctx, copies, audits...)
	tooLarge := errors.Is(err, kerr.MessageTooLarge) // that is of one alone
	if tooLarge && len(batch) > 1 {
		for i := range batch {
			if err := a.close(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range batch {
		if err != nil {
			a.report(r, ResultFailed, err.Error(), false)
		} else {
			a.report(r, string(stateAfter(a.kind)), "", true)
		}
	}
	if err != nil && !tooLarge {
		return fmt.Errorf("stopped at %s: %w; the same token continues", batch[0].ID, err)
	}
	return nil
}

// copyOf is the record of a rejection as it is redriven.
func copyOf(r *Rejection) *kgo.Record {
	again := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Record.Key, Value: r.Record.Value}
	if r.Record.Timestamp.Before(time.Now()) { // an event that has no timestamp of its own keeps this one; brokers refuse the future
		again.Timestamp = r.Record.Timestamp
	}
	for _, h := range r.Record.Headers {
		if !slices.Contains([]string{bus.HeaderRedriveConsumer, bus.HeaderRedriveOf, bus.HeaderRedrives}, h.Key) {
			again.Headers = append(again.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	again.Headers = append(again.Headers,
		kgo.RecordHeader{Key: bus.HeaderRedriveConsumer, Value: []byte(r.Consumer)},
		kgo.RecordHeader{Key: bus.HeaderRedriveOf, Value: []byte(r.ID)},
		kgo.RecordHeader{Key: bus.HeaderRedrives, Value: strconv.AppendInt(nil, int64(r.Redrives)+1, 10)})
	return again
}

// samePartition is the record's own partition, unless its topic was made again with fewer.
func samePartition(string) func(*kgo.Record, int) int {
	return func(r *kgo.Record, partitions int) int { return int(r.Partition) % partitions }
}

var errUnconfirmed = errors.New("the brokers did not confirm it in time: it may be written, or not")

// write writes copies, if there are any, and the audit records, one of each copy, in one transaction, which the end of ctx does
// not interrupt. It waits on its own timer, because no option of the client bounds a record in flight.
func (a *action) write(ctx context.Context, copies []*kgo.Record, audits ...AuditRecord) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(a.of.timeout, transactionTimeout))
	defer cancel()
	written, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		err := a.client.BeginTransaction()
		if err == nil {
			err = a.produce(ctx, copies, audits)
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

func (a *action) produce(ctx context.Context, copies []*kgo.Record, audits []AuditRecord) error {
	if err := a.client.ProduceSync(ctx, copies...).FirstErr(); err != nil {
		return err
	}
	records, now := make([]*kgo.Record, len(audits)), time.Now().UTC()
	for i, audit := range audits {
		audit.Action, audit.Kind, audit.Who, audit.At = a.id, a.kind, a.Who, now
		if len(copies) > 0 {
			audit.Copy = bus.Position{Topic: copies[i].Topic, Partition: copies[i].Partition, Offset: copies[i].Offset}.String()
		}
		value, err := json.Marshal(audit)
		if err != nil {
			return err
		}
		records[i] = &kgo.Record{Topic: bus.AuditTopic, Key: []byte(cmp.Or(audit.ID, audit.Action)), Value: value}
	}
	return a.client.ProduceSync(ctx, records...).FirstErr()
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
