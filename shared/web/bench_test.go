package web

import (
	"context"
	stdjson "encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/events"
)

const benchBody = `{"name":"Zoë Example","email":"zoe@example.com","phone":"+49 221 1234567","address":"Domkloster 4",` +
	`"city":"Köln","country":"Germany","drinksList":["Club-Mate","Apfelschorle","Espresso"],` +
	`"machineId":"0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d"}`

var benchAnswer = Accepted{ID: "0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d", EventID: "0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4e",
	Topic: "request-created", Partition: 1, Offset: 12345}

// commandPaths are one command by this package and by hand, without this package's strictness, limits, request ids and log line
// (which is formatted here and discarded).
func commandPaths() []struct {
	name    string
	handler http.Handler
} {
	functions := func(h http.Handler) []Function {
		return []Function{{Name: "create-request", Route: "POST /requests", Handler: h}}
	}
	command := HandleCommand(func(context.Context, Command[events.Request]) (Accepted, error) { return benchAnswer, nil })
	bare := func(decode func(io.Reader, any) error, encode func(io.Writer, any) error) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /requests", func(w http.ResponseWriter, r *http.Request) {
			var in events.Request
			if err := decode(r.Body, &in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", r.URL.Path+"/"+benchAnswer.ID)
			w.WriteHeader(http.StatusAccepted)
			_ = encode(w, benchAnswer)
		})
		return mux
	}
	return []struct {
		name    string
		handler http.Handler
	}{
		{"web", Router(functions(command), Log(slog.New(slog.NewTextHandler(io.Discard, nil))))},
		{"web-unlogged", Router(functions(command), Log(slog.New(slog.DiscardHandler)))},
		{"bare-same-library", bare(func(r io.Reader, v any) error { return json.UnmarshalRead(r, v, json.RejectUnknownMembers(true)) },
			func(w io.Writer, v any) error { return json.MarshalWrite(w, v) })},
		{"bare-encoding-json", bare(func(r io.Reader, v any) error {
			d := stdjson.NewDecoder(r)
			d.DisallowUnknownFields()
			return d.Decode(v)
		}, func(w io.Writer, v any) error { return stdjson.NewEncoder(w).Encode(v) })},
	}
}

func BenchmarkCommandInMemory(b *testing.B) {
	for _, p := range commandPaths() {
		b.Run(p.name, func(b *testing.B) {
			body := strings.NewReader("")
			r := httptest.NewRequest(http.MethodPost, "/requests", nil)
			r.Header.Set("Content-Type", "application/json")
			r.Body, r.ContentLength = io.NopCloser(body), int64(len(benchBody))
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(benchBody)
				clear(w.header)
				p.handler.ServeHTTP(w, r)
				if w.status != http.StatusAccepted {
					b.Fatal(w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
