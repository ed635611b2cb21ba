package deadletters

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/bus"
)

// Kind is what is done, see [Client.Act].
type Kind string

const (
	Redrive Kind = "redrive"
	Discard Kind = "discard"
)

// AuditRecord is one record of the audit topic: the begin of an action, what it did about one rejection, or its end.
type AuditRecord struct {
	Action string    `json:"action"` // its id
	Kind   Kind      `json:"kind"`
	Stage  string    `json:"stage"` // begin, item or end
	At     time.Time `json:"at"`
	Who    string    `json:"who"`

	Filter *Filter `json:"filter,omitempty"` // at the begin: what was selected
	Count  int     `json:"count,omitzero"`   // at the begin: of the rejections to act on
	Reason string  `json:"reason,omitempty"` // of a discard

	ID       string `json:"id,omitempty"` // of a rejection
	Consumer string `json:"consumer,omitempty"`
	Redrive  int    `json:"redrive,omitzero"` // the number of this redrive of the rejection, from 1
	Copy     string `json:"copy,omitempty"`   // where the redriven copy is: topic/partition/offset

	Results map[string]int `json:"results,omitempty"` // at the end: rejections by result
	Error   string         `json:"error,omitempty"`   // at the end: why it stopped before
}

type actions map[source]struct {
	redrives  int
	discarded bool
}

func (a actions) add(record bus.Record) error {
	var r AuditRecord
	_ = json.Unmarshal(record.Value, &r)
	at, err := bus.ParsePosition(r.ID)
	if err != nil || r.Stage != stageItem {
		return nil //nolint:nilerr // another program wrote it
	}
	s := a[source{at, r.Consumer}]
	s.redrives = max(s.redrives, r.Redrive)
	s.discarded = s.discarded || r.Kind == Discard
	a[source{at, r.Consumer}] = s
	return nil
}

func (a actions) stateOf(at source, redrives int) State {
	switch done := a[at]; {
	case done.discarded:
		return Discarded
	case done.redrives > redrives:
		return Redriven
	}
	return Open
}

const (
	stageBegin = "begin"
	stageItem  = "item"
	stageEnd   = "end"
)

// Action is an action as its audit records tell it.
type Action struct {
	ID      string         `json:"action"`
	Kind    Kind           `json:"kind"`
	At      time.Time      `json:"at"`
	Who     string         `json:"who"`
	Filter  Filter         `json:"filter"`
	Reason  string         `json:"reason,omitempty"`
	Count   int            `json:"count"`           // of the rejections to act on
	Results map[string]int `json:"results"`         // rejections by result
	Ended   time.Time      `json:"ended,omitzero"`  // zero = it runs, or was killed
	Error   string         `json:"error,omitempty"` // why it stopped before its end
	Items   []AuditRecord  `json:"items,omitempty"`
}

// AuditRecords calls show with each audit record, oldest first, and keeps none.
func (c *Client) AuditRecords(ctx context.Context, show func(AuditRecord) error) error {
	return c.readTopic(ctx, bus.AuditTopic, nil, &snapshot{bounds: bounds{}}, func(record bus.Record) error {
		var r AuditRecord
		if json.Unmarshal(record.Value, &r) != nil || r.Action == "" {
			return nil //nolint:nilerr // another program wrote it
		}
		return show(r)
	})
}

// Audit returns the actions, oldest first.
func (c *Client) Audit(ctx context.Context) ([]*Action, error) {
	byID := map[string]*Action{}
	var order []*Action
	err := c.AuditRecords(ctx, func(r AuditRecord) error {
		a := byID[r.Action]
		if a == nil {
			a = &Action{ID: r.Action, Kind: r.Kind, At: r.At, Who: r.Who, Results: map[string]int{}}
			byID[r.Action] = a
			order = append(order, a)
		}
		switch r.Stage {
		case stageBegin:
			a.Count, a.Reason = r.Count, r.Reason
			if r.Filter != nil {
				a.Filter = *r.Filter
			}
		case stageItem:
			a.Results[string(stateAfter(r.Kind))]++
			a.Items = append(a.Items, r)
		case stageEnd:
			a.Ended, a.Error = r.At, r.Error
			if r.Results != nil {
				a.Results = r.Results
			}
		}
		return nil
	})
	return order, err
}
