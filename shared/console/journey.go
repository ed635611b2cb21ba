package console

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/sipeat/sipeat/shared/web"
	"golang.org/x/sync/errgroup"
)

const (
	journeyTimeout = 20 * time.Second
	maxJourney     = 200             // events
	maxPayload     = 256 << 10       // bytes of a payload that are shown
	clockSkew      = 5 * time.Minute // between the clock that made an id and the brokers'
)

// Journey is what became of the events that an id names.
//
// Nothing is recorded for it, so it costs an event nothing: the topics are searched on request, from the time that the id
// contains on (UUIDv7, and the TypeScript app's ids begin with milliseconds), or else from the read model's time of the resource,
// or else from their beginning. Attempts are those that dead letters tell of: how many, and when each of the last began and how
// long it took. An event that its group has committed and that has no dead letter was handled, after an unknown number of
// attempts. All of it is kept as long as the topics.
//
// An Idempotency-Key is only a part of the digest from which its event's id is made. If nothing has the id, every event is tried:
// its id is that of the key if the event's route, its data and a known caller make the same digest. Known callers
// are the anonymous one, [Options.Callers] and the one that asks.
type Journey struct {
	ID       string     `json:"id"`
	Complete bool       `json:"complete"` // the topics were read to their ends
	From     time.Time  `json:"from,omitzero"`
	Events   []*Station `json:"events"` // those without a cause among them, oldest first
}

// Station is an event of a journey.
type Station struct {
	EventID    string                   `json:"eventId,omitempty"` // "" = the record cannot be decoded
	Topic      string                   `json:"topic"`
	Key        string                   `json:"key"`
	ResourceID string                   `json:"resourceId,omitempty"`
	Metadata   events.Metadata          `json:"metadata"`
	Request    *Request                 `json:"request"` // that made the event; null = another event did, or another program
	Records    []Place                  `json:"records"` // more than one: a repeat, or a redrive
	Payload    string                   `json:"payload"` // the value as it is on the topic, the first [maxPayload] bytes
	Bytes      int                      `json:"bytes"`
	Group      string                   `json:"group"`
	Rejections []*deadletters.Rejection `json:"rejections"`
	Row        *Row                     `json:"row"`        // in the read model; null = none
	Deliveries []store.Delivery         `json:"deliveries"` // of a notification
	Caused     []*Station               `json:"caused"`
}

// Request is a request to the API, as far as its events show it. Its line in the API's log has the eventId.
type Request struct {
	Route          string `json:"route"`
	IdempotencyKey bool   `json:"idempotencyKey"`        // it had one
	Trace          string `json:"traceparent,omitempty"` // "" = it had none, or was `sipeat publish`
}

// Place is a record of an event.
type Place struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	At        time.Time `json:"at"`
	Redrive   int       `json:"redrive,omitzero"` // its number
	Trace     string    `json:"traceparent,omitempty"`
	Handled   bool      `json:"handled"` // the group has committed it; rejected ones too
}

// Row is an item of the read model.
type Row struct {
	ID        string    `json:"id"`
	EventID   string    `json:"eventId"` // the event that made it
	CreatedAt time.Time `json:"createdAt"`
}

type idQuery struct {
	ID string `path:"id"`
}

// FindJourney finds the events that have the id, or whose subject, chain or cause has it, and all of their chains. None is
// NotFound.
func FindJourney(ctx context.Context, o Options, id string) (*Journey, error) {
	return newConsole(o).journey(ctx, idQuery{id})
}

func (c *console) journey(ctx context.Context, q idQuery) (*Journey, error) {
	began, err := c.began(ctx, q.ID)
	if err != nil {
		return nil, err
	}
	s := &search{console: c, subject: q.ID, ids: map[string]bool{}, found: map[string]*Station{}, from: began}
	s.add(q.ID)
	v := &Journey{ID: q.ID}
	searching, cancel := context.WithTimeout(ctx, journeyTimeout)
	defer cancel()
	if err = s.follow(searching); err == nil && len(s.found) == 0 {
		s.keyed = c.keyed(q.ID, append(c.Callers, "", web.Caller(ctx)))
		if timeOf(q.ID).IsZero() {
			s.from = time.Time{} // the read model has the event's time, which may be ahead of its record's
		}
		err = s.follow(searching)
	}
	if err != nil && searching.Err() == nil && !errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil, unavailable(err)
	}
	v.From, v.Complete = s.from, err == nil
	if len(s.found) == 0 {
		until := ""
		if !v.Complete {
			until = ", as far as they were read in time"
		}
		return nil, events.Errorf(events.NotFound, "no event on the topics has this id, or belongs to it%s", until)
	}
	if err := s.complete(ctx); err != nil {
		return nil, err
	}
	v.Events = s.tree()
	return v, nil
}

// follow searches all topics until no more ids become known: an effect may be found before its cause.
func (s *search) follow(ctx context.Context) error {
	for known := 0; known < len(s.ids) && len(s.found) < maxJourney; {
		known = len(s.ids)
		scans, ctx := errgroup.WithContext(ctx)
		o := kafka.TailOptions{From: &kafka.Point{Time: s.from}, Logger: s.Logger}
		for _, topic := range s.DeadLetters.Topics {
			definition, _ := events.Lookup(topic)
			scans.Go(func() error {
				return kafka.Tail(ctx, s.Cluster, topic, o, func(r bus.Record) error { return s.look(definition, r) })
			})
		}
		if err := scans.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// command is the endpoint that makes events of a type: the one whose body is a part of the payload.
func (c *console) command(d events.Definition) (route string, body reflect.Type) {
	for _, f := range c.Commands {
		if e, ok := f.Handler.(web.Endpoint); ok && e.Command {
			for _, field := range reflect.VisibleFields(reflect.TypeOf(d.Payload()).Elem()) {
				if field.Type == e.In {
					return f.Route, e.In
				}
			}
		}
	}
	return "", nil
}

// keyed reports whether the id of an event was made by a request with an Idempotency-Key.
func (c *console) keyed(key string, callers []string) func(events.Definition, string, jsontext.Value) bool {
	return func(d events.Definition, eventID string, data jsontext.Value) bool {
		route, body := c.command(d)
		if body == nil || !derived(eventID) {
			return false
		}
		input := reflect.New(body).Interface()
		return json.Unmarshal(data, input) == nil && slices.ContainsFunc(callers, func(caller string) bool {
			return events.DerivedID(web.Seed(route, caller, key, input)) == eventID
		})
	}
}

// Events of requests with an Idempotency-Key are encoded like this, and have no cause: others need not be decoded.
var ofKey, caused = regexp.MustCompile(`^\{"eventId":"[0-9a-f]{8}-[0-9a-f]{4}-5`), []byte(`"causationId":`)

func derived(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.Version() == 5
}

// began is a time before the events of an id; zero = unknown.
func (c *console) began(ctx context.Context, id string) (time.Time, error) {
	if at := timeOf(id); !at.IsZero() {
		return at.Add(-clockSkew), nil
	}
	for _, topic := range c.DeadLetters.Topics {
		item, err := c.Store.Get(ctx, topic, id)
		if err == nil {
			return item.CreatedAt.Add(-clockSkew), nil
		}
		if events.KindOf(err) != events.NotFound {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

// timeOf is the time that an id contains; zero = none that is likely.
func timeOf(id string) (at time.Time) {
	if parsed, err := uuid.Parse(id); err == nil && parsed.Version() == 7 {
		at = time.Unix(parsed.Time().UnixTime())
	} else if text, _, ok := strings.Cut(id, "-"); ok && len(text) == 13 {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			at = time.UnixMilli(n)
		}
	}
	if at.After(time.Now().Add(clockSkew)) {
		return time.Time{}
	}
	return at
}

type search struct {
	*console
	subject string
	from    time.Time

	mu    sync.Mutex
	ids   map[string]bool // of events, chains and causes
	every bool            // an id may be spelt in several ways in JSON: every record is decoded
	found map[string]*Station
	keyed func(d events.Definition, eventID string, data jsontext.Value) bool // tries every event; nil = none
}

func (s *search) add(id string) {
	if id == "" || s.ids[id] {
		return
	}
	s.ids[id] = true
	s.every = s.every || strings.ContainsFunc(id, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"\/<>&'`, r)
	})
	if at := timeOf(id); !at.IsZero() && at.Add(-clockSkew).Before(s.from) {
		s.from = at.Add(-clockSkew)
	}
}

var errEnough = errors.New("the journey is too long")

func (s *search) look(d events.Definition, r bus.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	possible := s.every || s.keyed != nil && ofKey.Match(r.Value) && !bytes.Contains(r.Value, caused) || s.ids[string(r.Key)]
	for id := range s.ids {
		possible = possible || bytes.Contains(r.Value, []byte(id))
	}
	if !possible {
		return nil
	}
	var envelope struct {
		ID       string          `json:"eventId"`
		Data     jsontext.Value  `json:"data"`
		Metadata events.Metadata `json:"metadata"`
	}
	_ = json.Unmarshal(r.Value, &envelope, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // it may be anything
	n := &Station{EventID: envelope.ID, Topic: r.Topic, Key: string(r.Key), Metadata: envelope.Metadata, Bytes: len(r.Value)}
	if e, err := d.Decode(r.Value); err == nil {
		n.EventID, n.ResourceID, n.Key = e.EventID(), e.ResourceID(), cmp.Or(n.Key, e.Key())
	}
	if s.keyed != nil && s.keyed(d, n.EventID, envelope.Data) {
		s.add(n.EventID)
	}
	if !s.ids[n.EventID] && !s.ids[n.Metadata.CorrelationID] && !s.ids[n.Metadata.CausationID] &&
		n.Key != s.subject && n.ResourceID != s.subject {
		return nil
	}
	name := r.Topic + " " + n.EventID
	if n.EventID == "" {
		name = r.Position().String()
	}
	if known := s.found[name]; known != nil {
		n = known
	} else if len(s.found) == maxJourney {
		return errEnough
	}
	s.found[name] = n
	if n.Payload == "" && r.Value != nil {
		n.Payload = *text(r.Value, maxPayload)
	}
	place := Place{Partition: r.Partition, Offset: r.Offset, At: r.Timestamp}
	place.Redrive, _ = strconv.Atoi(string(r.Header(bus.HeaderRedrives)))
	if parent := r.Header(trace.Header); parent != nil {
		place.Trace = *text(parent, maxHeader)
	}
	if route, _ := s.command(d); route != "" && n.Metadata.Producer == events.Producer && n.Metadata.CausationID == "" {
		n.Request = &Request{route, derived(n.EventID), place.Trace}
	}
	if !slices.ContainsFunc(n.Records, func(p Place) bool { return p.Partition == r.Partition && p.Offset == r.Offset }) {
		n.Records = append(n.Records, place)
	}
	s.add(n.EventID)
	s.add(n.Metadata.CorrelationID)
	s.add(n.Metadata.CausationID)
	return nil
}

func (s *search) complete(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	groups, err := kafka.Groups(ctx, s.Cluster, s.Groups)
	if err != nil {
		return unavailable(err)
	}
	rejections, _, err := s.rejections.get(ctx, true)
	if err != nil {
		return err
	}
	for _, n := range s.found {
		for _, g := range groups {
			if g.Topic != n.Topic {
				continue
			}
			n.Group = g.Group
			for i := range n.Records {
				n.Records[i].Handled = n.Records[i].Offset < g.Committed[n.Records[i].Partition]
			}
		}
		for _, r := range rejections {
			at := func(p Place) bool { return p.Partition == r.Partition && p.Offset == r.Offset }
			if r.Topic == n.Topic && slices.ContainsFunc(n.Records, at) {
				n.Rejections = append(n.Rejections, r)
			}
		}
		if n.ResourceID == "" || len(n.ResourceID) > store.MaxID {
			continue
		}
		item, err := s.Store.Get(ctx, n.Topic, n.ResourceID)
		switch {
		case err == nil:
			n.Row = &Row{item.ID, item.EventID, item.CreatedAt}
		case events.KindOf(err) != events.NotFound:
			return err
		}
		if n.Topic != (events.Notification{}).Topic() {
			continue
		}
		deliveries, err := s.Claims.Deliveries(ctx, n.ResourceID)
		if err != nil {
			return err
		}
		n.Deliveries = deliveries[n.ResourceID]
	}
	return nil
}

func (s *search) tree() (roots []*Station) {
	all := slices.SortedFunc(maps.Values(s.found), func(a, b *Station) int {
		return cmp.Or(a.Records[0].At.Compare(b.Records[0].At), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.EventID, b.EventID))
	})
	byID := map[string]*Station{}
	for _, n := range all {
		byID[n.EventID] = n
	}
	circular := func(n *Station) bool { // ids of other programs may be anything
		at := n
		for range all {
			if at = byID[at.Metadata.CausationID]; at == nil || at == n {
				return at == n
			}
		}
		return false
	}
	for _, n := range all {
		cause := byID[n.Metadata.CausationID]
		if n.Metadata.CausationID == "" || cause == nil || circular(n) {
			roots = append(roots, n)
		} else {
			cause.Caused = append(cause.Caused, n)
		}
	}
	return roots
}
