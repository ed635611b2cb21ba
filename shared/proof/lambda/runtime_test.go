// Package lambda tests the binaries that are deployed, against the Runtime API of AWS Lambda.
package lambda

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { program.Main(m) }

// lambdaProcess is a Lambda binary under test with its Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
type lambdaProcess struct {
	*program.Process
	asks    chan struct{} // closed by the request for the first invocation: the init is over
	next    chan *invocation
	mu      sync.Mutex
	pending map[string]*invocation
	init    time.Duration
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	ended    chan ended
}

// ended is the outcome of an invocation: a response or an error.
type ended struct {
	response []byte
	failure  string
}

// buildLambda builds a binary as `make build` does, but for this machine.
func buildLambda(name, folder string) (path string, err error) {
	return program.Build(name, folder, "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w")
}

var lambdaBinaries = map[string]func() (string, error){}

func init() {
	for _, side := range []string{"commands", "queries", "consumers"} {
		lambdaBinaries[side] = sync.OnceValues(func() (string, error) {
			return buildLambda(side, "github.com/sipeat/sipeat/functions/"+side+"/bootstrap")
		})
	}
}

// startLambda starts the binary of a side as the function of that name, and waits until its init is over or has failed.
func startLambda(t testing.TB, side, function string, environment ...string) *lambdaProcess {
	t.Helper()
	path, err := lambdaBinaries[side]()
	require.NoError(t, err)
	return startBinary(t, path, function, environment...)
}

func startBinary(t testing.TB, path, function string, environment ...string) *lambdaProcess {
	t.Helper()
	l := &lambdaProcess{asks: make(chan struct{}), next: make(chan *invocation), pending: map[string]*invocation{}}
	api := httptest.NewServer(l.runtimeAPI())
	t.Cleanup(api.CloseClientConnections) // the process waits for its next invocation
	c := exec.Command(path)
	c.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + api.Listener.Addr().String(), "_HANDLER=" + function, "AWS_LAMBDA_FUNCTION_NAME=" + function,
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}, environment...)
	begun := time.Now()
	l.Process = program.Start(t, c)
	select {
	case <-l.asks:
		l.init = time.Since(begun)
	case <-l.Ended:
	case <-time.After(program.WaitTimeout):
		require.FailNow(t, "the init does not end", "%s%s", l.Stdout, l.Stderr)
	}
	return l
}

func (l *lambdaProcess) runtimeAPI() http.Handler {
	const root = "/2018-06-01/runtime/"
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"invocation/next", func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(l.asks) })
		select {
		case i := <-l.next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:test")
			w.Write(i.payload)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST "+root+"invocation/{id}/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		i := l.pending[r.PathValue("id")]
		delete(l.pending, r.PathValue("id"))
		l.mu.Unlock()
		if i == nil {
			http.Error(w, "no such invocation", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		if r.PathValue("what") == "error" {
			i.ended <- ended{failure: string(body)}
			return
		}
		i.ended <- ended{response: body}
	})
	return mux
}

// begin passes the function an invocation with that much time.
func (l *lambdaProcess) begin(payload []byte, timeout time.Duration) *invocation {
	l.T.Helper()
	i := &invocation{id: uuid.NewString(), payload: payload, deadline: time.Now().Add(timeout), ended: make(chan ended, 1)}
	l.mu.Lock()
	l.pending[i.id] = i
	l.mu.Unlock()
	select {
	case l.next <- i:
	case <-l.Ended:
		require.FailNow(l.T, "the function has ended", "%s%s", l.Stdout, l.Stderr)
	case <-time.After(program.WaitTimeout):
		require.FailNow(l.T, "the function does not fetch the invocation", "%s%s", l.Stdout, l.Stderr)
	}
	return i
}

// end waits for the answer.
func (l *lambdaProcess) end(i *invocation) ended {
	l.T.Helper()
	select {
	case a := <-i.ended:
		return a
	case <-l.Ended:
		require.FailNow(l.T, "the function ended instead of answering", "%s%s", l.Stdout, l.Stderr)
	case <-time.After(program.WaitTimeout):
		require.FailNow(l.T, "the function does not answer", "%s%s", l.Stdout, l.Stderr)
	}
	panic("unreachable")
}

func (l *lambdaProcess) invoke(payload []byte, timeout time.Duration) ended {
	l.T.Helper()
	return l.end(l.begin(payload, timeout))
}

// gatewayAnswer is an answer for API Gateway.
type gatewayAnswer struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

func (a ended) http(t testing.TB) (g gatewayAnswer) {
	t.Helper()
	require.Empty(t, a.failure)
	require.NoError(t, json.Unmarshal(a.response, &g))
	assert.NotZero(t, g.StatusCode)
	return g
}
