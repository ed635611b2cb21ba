// Package console is the operator's page: what the topics, the consumers, the dead letters and the read model are doing, and the
// actions of `sipeat dead-letters`.
//
// A browser that opens /console/VIEW gets one static page without data, the same for every view and for everybody. Its script
// requests the same URL with Accept: application/json, which is for staff only, under the rule of the API's other GETs. A token
// is kept in the tab (sessionStorage) and sent as a header, so there is no cookie that a page of another origin could use; such
// pages are refused nevertheless (see [http.CrossOriginProtection]). The script inserts data as text, never as HTML, and the
// page's policy allows nothing but itself.
//
// All filters of a view are in its URL. Lists are bounded. Nothing is recorded for the console: it costs the brokers what the
// command line costs them, while a page is open.
package console

import (
	"context"
	_ "embed"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
	"golang.org/x/time/rate"
)

// Finding is the result of a check of one subject.
type Finding struct {
	Part    string `json:"part"`
	Subject string `json:"subject"`
	Status  string `json:"status"` // ok, note or wrong
	Says    string `json:"says"`
	Remedy  string `json:"remedy,omitempty"`
}

// Options are the parts that the console shows.
type Options struct {
	Cluster     settings.Kafka
	Groups      map[string]string               // the consumer groups' topics
	Statuses    func() []kafka.Status           // of the consumers in this process; nil = none run here
	Diagnose    func(context.Context) []Finding // `sipeat doctor`
	DeadLetters *deadletters.Client
	Store       store.Reader
	Claims      interface { // of notifications; store.Claims has it
		Deliveries(ctx context.Context, ids ...string) (map[string][]store.Delivery, error)
	}
	Models    func(ctx context.Context, table string) (ReadModels, error) // and that table of DynamoDB, if it is not ""
	OpenModel func(ctx context.Context, name string) (store.Store, error) // one of them
	Lists     []web.Function                                              // the API's lists
	Schema    func(events.Definition) []byte                              // of an event type's records
	Commands  []web.Function                                              // the API's endpoints that make events
	Callers   []string                                                    // of which [FindJourney] tries Idempotency-Keys
	Running   context.Context                                             // of the server: live feeds end with it
	Who       string                                                      // acts, where callers are not authenticated
	Logger    *slog.Logger
}

// console answers the requests of the page.
type console struct {
	Options
	rejections *rejections
	now        *now
	comparing  sync.Mutex // of read models
}

func newConsole(o Options) *console {
	rejected := &rejections{client: o.DeadLetters}
	return &console{Options: o, rejections: rejected, now: &now{Options: o, rejections: rejected,
		sampling: rate.Sometimes{Interval: sampleEvery}, diagnosing: rate.Sometimes{Interval: diagnoseEvery}}}
}

// Functions are the endpoints of the console, below /console/, and GET /, which redirects there.
func Functions(o Options) []web.Function {
	c := newConsole(o)
	overview := view("now", c.now.get)
	overview.Watch = true // it is polled
	all := []web.Function{
		overview,
		view("dead-letters", c.deadLetters),
		view("dead-letters/{id...}", c.deadLetter),
		view("dead-letters/preview", c.preview),
		view("journey", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }), // the form
		view("journey/{id}", c.journey),
		view("topics", c.topics),
		view("topics/{topic}", c.topic),
		view("topics/{topic}/records", c.records),
		view("audit", c.audit),
		view("rebuild", c.rebuild),
		view("rebuild/differences", c.differences),
		view("demand", c.demand),
		shown("live", http.HandlerFunc(c.feed)),
		{Name: "console-audit-records", Route: "GET /console/audit/records", Staff: true, Handler: http.HandlerFunc(c.export)},
		{Name: "console-redrive", Route: "POST /console/dead-letters/redrive", Staff: true, Handler: c.act(deadletters.Redrive)},
		{Name: "console-discard", Route: "POST /console/dead-letters/discard", Staff: true, Handler: c.act(deadletters.Discard)},
	}
	for _, f := range o.Lists {
		all = append(all, shown(strings.TrimPrefix(f.Route, "GET /"), f.Handler))
	}
	home := http.RedirectHandler("/console/now", http.StatusFound)
	for _, path := range []string{"/{$}", "/console", "/console/{$}"} {
		all = append(all, web.Function{Name: "console", Route: "GET " + path, Handler: home})
	}
	return all
}

func view[In, Out any](path string, get func(context.Context, In) (Out, error)) web.Function {
	return shown(path, web.HandleQuery(get))
}

// shown is an endpoint whose data the page shows.
func shown(path string, data http.Handler) web.Function {
	return web.Function{Name: "console-" + path, Route: "GET /console/" + path, Staff: true, Handler: data, Page: page}
}

//go:embed page/page.html
var shell string

//go:embed page/page.css
var style string

//go:embed page/page.js
var script string

// page is the static page. Its style and script are in it, so that the first view takes two requests.
var page = func() http.Handler {
	policy := "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'; form-action 'self'; " +
		"img-src data:; style-src " + web.InPage(style) + "; script-src " + web.InPage(script) + "; require-trusted-types-for 'script'"
	text := []byte(strings.NewReplacer("{{style}}", style, "{{script}}", script).Replace(shell))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(text) // it fails only when the client has gone
	})
}()

// readTimeout bounds what one request reads from the brokers.
const readTimeout = 10 * time.Second

// unavailable is the error of brokers that do not answer; one that has a kind already is returned as it is.
func unavailable(err error) error {
	if err == nil || events.KindOf(err) != events.Unknown {
		return err
	}
	return events.Wrap(events.Unavailable, err, "the brokers cannot be read: %s", events.OneLine(err.Error(), 300))
}
