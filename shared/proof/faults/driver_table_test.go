package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// dynamo answers some requests in DynamoDB's stead, as its documentation says that it may
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html). The others it passes on.
type dynamo struct {
	net.Listener
	next  http.Handler
	mode  atomic.Pointer[string]
	count atomic.Int64 // of such answers
}

// The modes of dynamo, besides passes.
const (
	throttles = "throttle" // most requests, with each of the errors that say so
	// Transactions meet others. Other writes happen and are answered with an error, so that their retry meets them.
	conflicts = "conflict"
)

func startDynamo(ctx context.Context, target string) (*dynamo, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target})
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 256}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	d := &dynamo{Listener: l, next: proxy}
	d.set(passes)
	server := &http.Server{Handler: d, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return d, nil
}

func (d *dynamo) set(mode string) { d.mode.Store(&mode) }

func (d *dynamo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mode := *d.mode.Load()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	transaction := operation == "TransactWriteItems"
	writes := transaction || operation == "UpdateItem" || operation == "PutItem" || operation == "DeleteItem"
	switch {
	case mode == throttles && rand.IntN(10) > 0 && transaction:
		d.cancelled(w, b, "ThrottlingError")
	case mode == throttles && rand.IntN(10) > 0:
		name := []string{"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
			"com.amazon.coral.availability#ThrottlingException", "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded"}[rand.IntN(3)]
		d.refuse(w, 400, map[string]any{"__type": name, "message": "Too much."})
	case mode == conflicts && transaction && rand.IntN(2) > 0:
		d.cancelled(w, b, "TransactionConflict")
	case mode == conflicts && writes && rand.IntN(2) > 0:
		d.next.ServeHTTP(discarded{}, r)
		d.refuse(w, 500, map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "It happened."})
	default:
		d.next.ServeHTTP(w, r)
	}
}

// cancelled answers a transaction, of which one item is the reason.
func (d *dynamo) cancelled(w http.ResponseWriter, request []byte, code string) {
	var asked struct{ TransactItems []jsontext.Value }
	_ = json.Unmarshal(request, &asked)
	reasons := make([]map[string]string, max(1, len(asked.TransactItems)))
	for i := range reasons {
		reasons[i] = map[string]string{"Code": "None"}
	}
	reasons[rand.IntN(len(reasons))] = map[string]string{"Code": code, "Message": "Another has the item."}
	d.refuse(w, 400, map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
		"Message":             fmt.Sprintf("Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", code),
		"CancellationReasons": reasons})
}

func (d *dynamo) refuse(w http.ResponseWriter, status int, answer map[string]any) {
	d.count.Add(1)
	b, _ := json.Marshal(answer) // of texts
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// discarded is an answer that gets lost.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(b []byte) (int, error) { return len(b), nil }
func (discarded) WriteHeader(int)             {}

// table is a fault that dynamo causes.
func table(what, mode string) misfortune {
	return misfortune{"F11", "", what, func(s scene) error {
		d := s.cluster.dynamo
		d.count.Store(0)
		d.set(mode)
		wait(s, faultTime)
		defer s.note("")
		defer d.set(passes)
		return until(s, brokerTime, func(context.Context) error {
			if d.count.Load() == 0 {
				return fmt.Errorf("no request was answered so")
			}
			return nil
		})
	}}
}
