// Package deadletters finds the events that consumers rejected, and redrives or discards them.
//
// A dead letter stays on its topic; what is done about it is recorded on [bus.AuditTopic]. All dead letters of one record and one
// consumer, and of the copies of that record that were redriven, are one [Rejection], identified by the record's position. It
// is open until its newest dead letter is redriven or discarded, and open again when the consumer rejects the copy.
//
// Redrive writes an open rejection's record to its topic again, with the same bytes, for the one consumer that rejected it:
// headers name that consumer group, and the engine of any other skips the copy, in a worker and in a Lambda function. Copies and
// their audit records are written in one Kafka transaction, so an interrupted redrive continues without a second copy. Redrives
// and discards of a cluster share a transactional id: one that begins ends another that is under way.
//
// A position names a record as long as its topic exists. Delete a topic's dead-letter topic with it, or what was done about the
// rejections of its records will count for those of a topic that is made again under its name.
//
// A program that does not use the engine, such as the TypeScript app's worker in another group, sees a copy as a repeat.
package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
)

// Client gives access to the dead letters of a cluster.
type Client struct {
	Cluster settings.Kafka
	Topics  []string // the source topics
	Logger  *slog.Logger

	// Check runs the projection of the consumer group on a record, without changing anything, and returns why it would be
	// rejected now. It is needed by Preview.
	Check func(ctx context.Context, group string, r bus.Record) error

	timeout time.Duration // 0 = transactionTimeout
}

// State is what became of a rejection.
type State string

const (
	Open      State = "open"
	Redriven  State = "redriven" // and not rejected again
	Discarded State = "discarded"
)

// Rejection is a rejected event. Class, Reason, Attempts and LastAttempts are those of the newest dead letter.
type Rejection struct {
	ID           string        `json:"id"` // its position as text
	bus.Position               // of the record that was rejected first
	EventID      string        `json:"eventId,omitempty"` // "" = the record cannot be decoded
	Key          string        `json:"key,omitempty"`
	Class        bus.Class     `json:"class"`
	Reason       string        `json:"reason"`
	Consumer     string        `json:"consumer"` // the consumer group
	Attempts     int           `json:"attempts"`
	LastAttempts []bus.Attempt `json:"lastAttempts"` // the last of them, oldest first
	FirstAt      time.Time     `json:"firstAt"`
	LastAt       time.Time     `json:"lastAt"`
	Redrives     int           `json:"redrives"` // before the newest dead letter
	State        State         `json:"state"`

	Record bus.Record `json:"-"` // as it was rejected last; List leaves it out
}

// source identifies a rejection, or one record as one consumer rejected it.
type source struct {
	position bus.Position
	consumer string
}

// Filter selects rejections: all fields that are set must match.
type Filter struct {
	Topic    string    `json:"topic,omitempty"` // the source topic
	Class    bus.Class `json:"class,omitempty"`
	Consumer string    `json:"consumer,omitempty"`
	Reason   string    `json:"reason,omitempty"` // of the same [ReasonKind]
	Key      string    `json:"key,omitempty"`
	EventID  string    `json:"eventId,omitempty"`
	ID       string    `json:"id,omitempty"`
	Since    time.Time `json:"since,omitzero"` // rejected last at that time or later
}

// SetID selects one event by its eventId, or by the ID of a [Rejection].
func (f *Filter) SetID(id string) {
	at, err := bus.ParsePosition(id)
	if err != nil {
		f.EventID = id
		return
	}
	f.ID, f.Topic = at.String(), cmp.Or(f.Topic, at.Topic)
}

// String shows the fields that are set, as flags of the command line.
func (f Filter) String() string {
	var flags []string
	for _, flag := range []struct{ name, value string }{{"topic", f.Topic}, {"class", string(f.Class)}, {"consumer", f.Consumer},
		{"reason", f.Reason}, {"key", f.Key}, {"id", f.EventID}, {"id", f.ID}} {
		if flag.value != "" {
			flags = append(flags, fmt.Sprintf("--%s %.100q", flag.name, flag.value))
		}
	}
	if !f.Since.IsZero() {
		flags = append(flags, "--since "+f.Since.Format(time.RFC3339))
	}
	return cmp.Or(strings.Join(flags, " "), "all")
}

// Matches reports whether the filter selects the rejection.
func (f Filter) Matches(r *Rejection) bool {
	return (f.Topic == "" || f.Topic == r.Topic) && (f.Class == "" || f.Class == r.Class) &&
		(f.Consumer == "" || f.Consumer == r.Consumer) && (f.Key == "" || f.Key == r.Key) &&
		(f.Reason == "" || ReasonKind(f.Reason) == ReasonKind(r.Reason)) &&
		(f.EventID == "" || f.EventID == r.EventID) && (f.ID == "" || f.ID == r.ID) && !r.LastAt.Before(f.Since)
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// ReasonKind is a reason without what differs from event to event, which is quoted: ids.
func ReasonKind(reason string) string { return quoted.ReplaceAllString(reason, `"…"`) }

// List returns the rejections that match, in the order of their records: the open ones, or with closed all.
func (c *Client) List(ctx context.Context, f Filter, closed bool) ([]*Rejection, error) {
	return c.read(ctx, nil, &snapshot{filter: f, closed: closed})
}

// Show returns the rejections of one record, one for each consumer that rejected it, with the record. None is NotFound.
func (c *Client) Show(ctx context.Context, id string) ([]*Rejection, error) {
	at, err := bus.ParsePosition(id)
	if err != nil {
		return nil, err
	}
	rejections, err := c.read(ctx, nil, &snapshot{filter: Filter{ID: at.String(), Topic: at.Topic}, closed: true, values: true})
	if err == nil && len(rejections) == 0 {
		err = events.Errorf(events.NotFound, "no consumer has rejected %s", id)
	}
	return rejections, err
}

// MaxList bounds the rejections that a server or a check holds in memory; some 100 MB.
const MaxList = 100_000

// ListUpTo is List without a filter. It ends when ctx does, or when it has read the dead letters of limit rejections: complete is
// false then, and there may be more.
func (c *Client) ListUpTo(ctx context.Context, limit int, closed bool) (all []*Rejection, complete bool, err error) {
	all, err = c.read(ctx, nil, &snapshot{limit: limit, closed: closed})
	if err != nil && ctx.Err() == nil && !errors.Is(err, errLimit) {
		return nil, false, err
	}
	return all, err == nil, nil
}

// Group is the rejections of one consumer that have one class, or one class and kind of reason.
type Group struct {
	Topic    string    `json:"topic"`
	Consumer string    `json:"consumer"`
	Class    bus.Class `json:"class"`
	Count    int       `json:"count"`
	LastAt   time.Time `json:"lastAt"`
	Reason   string    `json:"reason"` // of the newest, or its kind
	New      int       `json:"new"`
}

// Groups counts rejections by topic, consumer and class and, with byReason, [ReasonKind]. Those after seen are new.
func Groups(rejections []*Rejection, byReason bool, seen time.Time) (groups []Group) {
	known := map[Group]int{}
	for _, r := range rejections {
		key := Group{Topic: r.Topic, Consumer: r.Consumer, Class: r.Class}
		if byReason {
			key.Reason = ReasonKind(r.Reason)
		}
		i, ok := known[key]
		if !ok {
			i, known[key] = len(groups), len(groups)
			groups = append(groups, key)
		}
		g := &groups[i]
		if g.Count++; !r.LastAt.Before(g.LastAt) {
			g.LastAt, g.Reason = r.LastAt, cmp.Or(key.Reason, r.Reason)
		}
		if r.LastAt.After(seen) {
			g.New++
		}
	}
	return groups
}
