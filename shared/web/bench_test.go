package web

import (
	"bufio"
	"bytes"
	"context"
	stdjson "encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/events"
)

const benchBody = `{"name":"Zoë Example","email":"zoe@example.com","phone":"+49 221 1234567","address":"Domkloster 4","city":"Köln",` +
	`"country":"Germany","drinksList":["Club-Mate","Apfelschorle","Espresso"],"machineId":"0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d"}`

var benchAnswer = Accepted{ID: "0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d", EventID: "0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4e", Topic: "request-created", Partition: 1, Offset: 12345}

// commandPaths are the same command by this package and by hand, without what makes this package: strictness, limits,
// request ids, a log line (here made in full, and written nowhere).
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

// The whole request over a connection that stays, as a client sees it.
func BenchmarkCommandOverSocket(b *testing.B) {
	for _, p := range commandPaths() {
		b.Run(p.name, func(b *testing.B) {
			srv := Server(p.handler, slog.New(slog.DiscardHandler))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = srv.Serve(l) }()
			defer srv.Close()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request := fmt.Appendf(nil, "POST /requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(benchBody), benchBody)
			r := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				skipAnswer(b, r)
			}
		})
	}
}

// skipAnswer reads an answer with as little work as can be: the client's is not what is measured.
func skipAnswer(b *testing.B, r *bufio.Reader) {
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil || first && !bytes.HasPrefix(line, []byte("HTTP/1.1 202 ")) {
			b.Fatalf("%s %v", line, err)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if len(line) == len("\r\n") {
			break
		}
	}
	if _, err := r.Discard(length); err != nil || length == 0 {
		b.Fatal(length, err)
	}
}

// The handler alone: no socket hides what it costs.
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

func BenchmarkSeed(b *testing.B) {
	r := httptest.NewRequest(http.MethodPost, "/requests", nil)
	var in events.Request
	if err := json.Unmarshal([]byte(benchBody), &in); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := seed(r, "0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d", &in); err != nil {
			b.Fatal(err)
		}
	}
}
