// Package dynamodb keeps the read model in one DynamoDB table: for AWS, and for servers beside anything that speaks its API.
//
// Promises beyond the contract in package store:
//
//   - An item and the demand that it adds are one transaction; concurrent Puts of a handle share transactions, so that a
//     drink everybody asks for is not fought over.
//   - Put answers only when the item stands in the generation that is living after it was written, and in the one being
//     built: a switch is one write, waits for nobody and loses nothing (pointers.go says how).
//   - No request scans. What each costs, and the table, is told at [Description].
//   - [Open] makes no network call, and links no AWS config package: region and keys come from the caller or [FromEnvironment].
//
// Caveats: Get, Generations and demand (by country or all) are strongly consistent; lists, and demand of a city in every
// country, follow within moments (global secondary indexes). A list of a filter that next to nothing passes may come in short pages (see
// [Store.List]). Items of one type are listed in one partition of an index, which takes about 1000 of up to 1 KB a second.
// Rows of a dropped generation are deleted from a minute after the switch, by the handles of long-lived processes or by [Store.Sweep].
package dynamodb

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Store is a read model in one table.
type Store struct {
	client *dynamodb.Client
	table  string
	place  string           // of the table, as error texts name it
	owner  string           // this handle, to the claims
	clock  func() time.Time // for leases

	pointers *pointers
	writer   *writer
	sweeps   *sweeps
	types    sync.Map // generation and type of which this handle has written the types row

	ctx     context.Context // ends when the store is closed
	end     context.CancelFunc
	closing sync.Mutex
	running sync.WaitGroup
	idle    func() // closes connections that wait
}

var _ store.Store = (*Store)(nil)

// Option changes how a store is opened.
type Option func(*Store)

// WithClock takes the time for leases from clock, which must be safe for concurrent use.
func WithClock(clock func() time.Time) Option { return func(s *Store) { s.clock = clock } }

// WithoutSweeps leaves the rows of dropped generations to others: for Lambda, which freezes what works in the background.
func WithoutSweeps() Option { return func(s *Store) { s.sweeps.off = true } }

// Open opens the store that is kept in a table. It makes no network call: whether the table is there, and may be used,
// the first call tells, or [Store.Ping]. A config without an HTTPClient of the caller's own gets one that suits hundreds of writers.
func Open(cfg aws.Config, table string, opts ...Option) (*Store, error) {
	if table == "" {
		return nil, events.Errorf(events.Unavailable, "the read model needs the name of its DynamoDB table, such as TABLE_NAME=sipeat")
	}
	client, place, idle := connect(cfg)
	s := &Store{client: client, table: table, place: place, owner: uuid.NewString(), clock: time.Now, idle: idle}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.pointers = &pointers{read: s.readPointer, start: s.start}
	s.writer = &writer{ctx: s.ctx, start: s.start, send: s.transact, busy: make(map[string]bool)}
	s.sweeps = &sweeps{store: s, grace: grace}
	for _, opt := range opts {
		opt(s)
	}
	return s, nil
}

// connect makes the client. Retries are ours (again.go): the SDK's know neither cancelled transactions nor how long the caller waits.
func connect(cfg aws.Config) (client *dynamodb.Client, place string, idle func()) {
	idle = func() {}
	base := http.DefaultTransport.(*http.Transport)
	sdks, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // of the config package, with the CA bundle that it was told
	if ok {
		base = sdks.GetTransport()
	}
	if ok || cfg.HTTPClient == nil {
		c := httpClient(base)
		cfg.HTTPClient, idle = c, c.CloseIdleConnections
	}
	place = "in " + cfg.Region
	client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = aws.NopRetryer{}
		// DynamoDB Local sends no valid checksum with its errors, and the SDK would log a warning for each.
		if o.DisableValidateResponseChecksum = o.BaseEndpoint != nil; o.BaseEndpoint != nil {
			place = "at " + *o.BaseEndpoint
		}
	})
	return client, place, idle
}

func httpClient(base *http.Transport) *http.Client {
	t := base.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = 256, 256, 50*time.Second
	t.ForceAttemptHTTP2 = false // DynamoDB speaks HTTP/1.1
	t.TLSHandshakeTimeout = 3 * time.Second
	t.DialContext = dialer.DialContext
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Ping reads the one row that every question needs. It names what is wrong: table, place, credentials or rights.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.pointers.latest(ctx)
	return s.fault(ctx, err)
}

// Close ends what is under way.
func (s *Store) Close() error {
	s.closing.Lock()
	s.end()
	s.closing.Unlock()
	s.running.Wait()
	s.idle()
	return nil
}

// start runs something in the background, which Close waits for; not any more once the store is closed.
func (s *Store) start(run func()) bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.running.Go(run)
	return true
}

// usable refuses a call that must not begin.
func (s *Store) usable(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return closedError()
	}
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	return nil
}

// call makes a request of DynamoDB, until the caller's context ends or the store is closed.
func (s *Store) call(ctx context.Context, try func(context.Context) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	joined, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return s.fault(ctx, again(joined, try))
}

func closedError() error { return events.Errorf(events.Unavailable, "the read model is closed") }

// ended is the error of a call whose context has ended.
func ended(err error) error {
	return events.Wrap(events.Unavailable, err, "the read model was not waited for any longer")
}
