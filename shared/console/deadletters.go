package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

const (
	maxValue    = 64 << 10        // bytes of a value that are shown
	maxHeader   = 2000            // bytes of a header's value that are shown
	maxShown    = 100             // refusals of a preview, actions on a rejection, groups, results of an action
	maxLater    = 20              // later events of a key
	laterWithin = 3 * time.Second // the search for them
	maxBody     = 2 << 20         // of an action: the token of the largest preview
)

// refreshEvery is how often the dead letters are read again at most, while they change, for a view that is not about them.
const refreshEvery = 5 * time.Second

// rejections keeps the rejections until a dead-letter topic or the audit topic changes.
type rejections struct {
	client *deadletters.Client

	mu       sync.Mutex
	ends     map[string]map[int32]int64 // of the topics when they were read
	at       time.Time
	all      []*deadletters.Rejection // not to be changed
	complete bool
}

// get returns the rejections, in the order of their records, as of now or, unless fresh, a few seconds ago.
func (r *rejections) get(ctx context.Context, fresh bool) (all []*deadletters.Rejection, complete bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !fresh && time.Since(r.at) < refreshEvery {
		return r.all, r.complete, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	topics := []string{bus.AuditTopic}
	for _, topic := range r.client.Topics {
		topics = append(topics, bus.DeadLetterTopic(topic))
	}
	ends, err := kafka.Ends(ctx, r.client.Cluster, topics...)
	if err != nil || r.ends != nil && maps.EqualFunc(ends, r.ends, maps.Equal) {
		return r.all, r.complete, unavailable(err)
	}
	all, complete, err = r.client.ListUpTo(ctx, deadletters.MaxList, true)
	if err != nil {
		return r.all, r.complete, unavailable(err)
	}
	r.at, r.ends = time.Now(), ends
	if ctx.Err() != nil { // all is cut short, because the viewer has gone for one: the next one reads again
		r.ends = nil
	}
	if r.ends != nil || len(all) > len(r.all) {
		r.all, r.complete = all, complete
	}
	return all, complete, nil
}

// filterQuery selects rejections, as the flags of `sipeat dead-letters` do.
type filterQuery struct {
	Topic    string    `query:"topic"`
	Class    string    `query:"class"`
	Consumer string    `query:"consumer"`
	Reason   string    `query:"reason"`
	Key      string    `query:"key"`
	ID       string    `query:"id"`
	Since    time.Time `query:"since"`
}

func (q filterQuery) filter() deadletters.Filter {
	f := deadletters.Filter{Topic: q.Topic, Class: bus.Class(q.Class), Consumer: q.Consumer,
		Reason: q.Reason, Key: q.Key, Since: q.Since}
	f.SetID(q.ID)
	return f
}

type listQuery struct {
	filterQuery
	State string    `query:"state" default:"open" oneof:"open redriven discarded all"`
	Seen  time.Time `query:"seen"`
	From  int       `query:"from" default:"0" min:"0" max:"100000"`
	Limit int       `query:"limit" default:"50" min:"1" max:"200"`
}

type listView struct {
	Total    int                      `json:"total"` // that match
	Complete bool                     `json:"complete"`
	Groups   []deadletters.Group      `json:"groups"` // of all that match, the largest first, at most [maxShown]
	Items    []*deadletters.Rejection `json:"items"`
	Topics   []string                 `json:"topics"`
	Classes  []bus.Class              `json:"classes"`
}

func (c *console) deadLetters(ctx context.Context, q listQuery) (listView, error) {
	all, complete, err := c.rejections.get(ctx, true)
	if err != nil {
		return listView{}, err
	}
	filter := q.filter()
	var matching []*deadletters.Rejection
	for _, r := range all {
		if filter.Matches(r) && (q.State == "all" || q.State == string(r.State)) {
			matching = append(matching, r)
		}
	}
	v := listView{Total: len(matching), Complete: complete, Topics: c.DeadLetters.Topics, Classes: bus.Classes,
		Groups: deadletters.Groups(matching, true, q.Seen)}
	slices.SortFunc(v.Groups, func(a, b deadletters.Group) int {
		return cmp.Or(b.Count-a.Count, b.LastAt.Compare(a.LastAt), cmp.Compare(a.Reason, b.Reason))
	})
	v.Groups = v.Groups[:min(len(v.Groups), maxShown)]
	from := min(q.From, len(matching))
	v.Items = matching[from:min(from+q.Limit, len(matching))]
	return v, nil
}

type detailView struct {
	Rejections    []rejectionView      `json:"rejections"` // one for each consumer that rejected the record
	Actions       []deadletters.Action `json:"actions"`    // on them, oldest first, the last [maxShown]
	Later         []laterEvent         `json:"later"`      // of the same key
	LaterComplete bool                 `json:"laterComplete"`
}

type rejectionView struct {
	*deadletters.Rejection
	Headers []header `json:"headers"`
	Value   *string  `json:"value"` // null = a tombstone
	Bytes   int      `json:"bytes"` // of the whole value
}

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type laterEvent struct {
	Offset  int64     `json:"offset"`
	At      time.Time `json:"at"`
	EventID string    `json:"eventId,omitempty"`
}

// deadLetter answers GET /console/dead-letters/{id}.
func (c *console) deadLetter(ctx context.Context, q idQuery) (v detailView, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rejections, err := c.DeadLetters.Show(ctx, q.ID)
	if err != nil {
		return v, unavailable(err)
	}
	for _, r := range rejections {
		shown := rejectionView{Rejection: r, Bytes: len(r.Record.Value), Value: text(r.Record.Value, maxValue)}
		for _, h := range r.Record.Headers {
			shown.Headers = append(shown.Headers, header{h.Key, *text(append([]byte{}, h.Value...), maxHeader)})
		}
		v.Rejections = append(v.Rejections, shown)
	}
	actions, err := c.DeadLetters.Audit(ctx)
	if err != nil {
		return v, unavailable(err)
	}
	for _, a := range actions {
		for _, item := range a.Items {
			if item.ID == q.ID {
				one := *a
				one.Items = []deadletters.AuditRecord{item}
				v.Actions = append(v.Actions, one)
			}
		}
	}
	v.Actions = v.Actions[max(0, len(v.Actions)-maxShown):]
	v.Later, v.LaterComplete = c.later(ctx, rejections[0])
	return v, nil
}

// later finds what of the same key came after a record, as far as it finds it in time.
func (c *console) later(ctx context.Context, r *deadletters.Rejection) (found []laterEvent, complete bool) {
	if r.Key == "" {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(ctx, laterWithin)
	defer cancel()
	enough := errors.New("enough")
	err := kafka.Tail(ctx, c.Cluster, r.Topic, kafka.TailOptions{Partitions: []int32{r.Partition},
		From: &kafka.Point{Offset: r.Offset + 1}, Logger: c.Logger}, func(record bus.Record) error {
		if len(record.Key) > 0 && string(record.Key) != r.Key {
			return nil
		}
		if eventID, key := record.Identify(); key == r.Key {
			found = append(found, laterEvent{record.Offset, record.Timestamp, eventID})
		}
		if len(found) == maxLater {
			return enough
		}
		return nil
	})
	return found, err == nil
}

// text is a value as text, at most so many bytes of it; nil = there is none.
func text(value []byte, limit int) *string {
	if value == nil {
		return nil
	}
	s := strings.ToValidUTF8(string(value[:min(len(value), limit)]), "\uFFFD")
	return &s
}

type previewQuery struct {
	filterQuery
	MaxRedrives int    `query:"maxRedrives" default:"3" min:"1" max:"1000"`
	OutOfOrder  string `query:"outOfOrder" default:"no" oneof:"yes no"`
}

func (c *console) preview(ctx context.Context, q previewQuery) (*deadletters.Preview, error) {
	p, err := c.DeadLetters.Preview(ctx, q.filter(),
		deadletters.PreviewOptions{MaxRedrives: q.MaxRedrives, OutOfOrder: q.OutOfOrder == "yes"})
	if err != nil {
		return nil, unavailable(err)
	}
	p.Refused = p.Refused[:min(len(p.Refused), maxShown)]
	return p, nil
}

type actionBody struct {
	Token  string `json:"token"`
	Rate   int    `json:"rate"`   // of a redrive, events a second
	Reason string `json:"reason"` // of a discard
}

// actionEnd is the last line of an action's answer.
type actionEnd struct {
	Ended bool   `json:"ended"`
	Error string `json:"error,omitempty"` // why not all were reported
}

// act answers POST /console/dead-letters/redrive and discard with a line of JSON for each result as it comes, and a last one. It
// stops when the client goes away or the server ends: the same token continues.
func (c *console) act(kind deadletters.Kind) http.Handler {
	pages := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := pages.Check(r); err != nil {
			web.Problem{Status: http.StatusForbidden, Detail: "A page of another origin must not do this."}.Write(w, r)
			return
		}
		var body actionBody
		err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxBody), &body, json.RejectUnknownMembers(true))
		body.Reason = strings.TrimSpace(body.Reason)
		if err != nil || kind == deadletters.Redrive && body.Rate < 1 || kind == deadletters.Discard && body.Reason == "" {
			err = errors.New("the body must be JSON with token, and rate (events a second) or reason")
		} else {
			err = deadletters.CheckToken(body.Token)
		}
		if err != nil {
			web.Problem{Status: http.StatusUnprocessableEntity, Detail: err.Error()}.Write(w, r)
			return
		}
		write := stream(w, "application/x-ndjson")
		write(nil)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(c.Running, cancel)()
		end := actionEnd{Ended: true}
		if err := c.DeadLetters.Act(ctx, kind, body.Token, deadletters.ActOptions{Who: cmp.Or(web.Caller(r.Context()), c.Who),
			Rate: body.Rate, Reason: body.Reason, Report: func(r deadletters.Result) { write(line(r)) }}); err != nil {
			c.Logger.Warn("an action on dead letters has stopped", "kind", kind, "error", events.LogText(err.Error()))
			end.Error = events.LogText(err.Error())
		}
		write(line(end))
	})
}

type auditQuery struct {
	From  int `query:"from" default:"0" min:"0" max:"1000000"`
	Limit int `query:"limit" default:"20" min:"1" max:"100"`
}

type auditView struct {
	Total   int                   `json:"total"`
	Actions []*deadletters.Action `json:"actions"` // newest first, with at most [maxShown] items
}

func (c *console) audit(ctx context.Context, q auditQuery) (auditView, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	all, err := c.DeadLetters.Audit(ctx)
	if err != nil {
		return auditView{}, unavailable(err)
	}
	slices.Reverse(all)
	from := min(q.From, len(all))
	v := auditView{Total: len(all), Actions: all[from:min(from+q.Limit, len(all))]}
	for _, a := range v.Actions {
		a.Items = a.Items[:min(len(a.Items), maxShown)]
	}
	return v, nil
}

// export answers GET /console/audit/records with all audit records, one a line. An answer that cannot be completed is cut off.
func (c *console) export(w http.ResponseWriter, r *http.Request) {
	write, lines := stream(w, "application/x-ndjson"), []byte{}
	err := c.DeadLetters.AuditRecords(r.Context(), func(a deadletters.AuditRecord) error {
		if lines = append(lines, line(a)...); len(lines) >= maxValue {
			write(lines)
			lines = lines[:0]
		}
		return nil
	})
	if err != nil {
		c.Logger.Warn("the audit records cannot be read", "error", events.LogText(err.Error()))
		panic(http.ErrAbortHandler)
	}
	write(lines)
}

func line(v any) []byte {
	b, _ := json.Marshal(v, jsontext.AllowInvalidUTF8(true)) // these types are JSON
	return append(b, '\n')
}

// writeTimeout bounds the writing of a piece.
const writeTimeout = 10 * time.Second

// stream begins an answer that is written in pieces, for as long as the client reads it. When write fails the client has gone,
// and the request's context ends.
func stream(w http.ResponseWriter, contentType string) (write func(piece []byte)) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's deadlines are for short answers
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	return func(piece []byte) {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, _ = w.Write(piece)
		_ = control.Flush()
	}
}
