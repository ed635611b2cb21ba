package containers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// samLocal is the SAM CLI with a dock after `make up`, `make topics` and `make build`.
type samLocal struct {
	*dock
	sam, config string
}

func inSAM(t *testing.T) *samLocal {
	t.Helper()
	sam := os.Getenv("SAM")
	if sam == "" {
		t.Skip("`make sam-local` runs this, with Docker and the SAM CLI")
	}
	if filepath.Base(sam) != sam && !filepath.IsAbs(sam) { // relative to the directory where make was called
		sam = filepath.Join(root, sam)
	}
	path, err := exec.LookPath(sam)
	require.NoError(t, err, "the SAM CLI")
	path, err = filepath.Abs(path)
	require.NoError(t, err)
	s := &samLocal{inDock(t, "DOCKER_KAFKA_PORT", "DOCKER_DYNAMODB_PORT"), path, "default"}
	if runtime.GOARCH == "amd64" {
		s.config = "amd64"
	}
	s.environment = append(s.environment, "SAM_CLI_TELEMETRY=0")
	t.Cleanup(func() { // before the network is removed
		left := s.containers(t)
		assert.Empty(t, left, "SAM has left containers behind")
		if len(left) > 0 {
			out, err := s.command("docker", append([]string{"rm", "--force"}, left...)...).CombinedOutput()
			assert.NoError(t, err, string(out))
		}
	})
	s.make(t, 0, "up")
	s.make(t, 0, "topics")
	s.make(t, 0, "build", "ARCH="+runtime.GOARCH)
	return s
}

// containers returns the containers on the network that compose did not start.
func (s *samLocal) containers(t *testing.T) (ids []string) {
	out, err := s.command("docker", "ps", "--all", "--filter", "network="+s.project, "--format",
		`{{.ID}} {{.Label "com.docker.compose.project"}}`).Output()
	assert.NoError(t, err)
	for _, line := range program.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 1 {
			ids = append(ids, f[0])
		}
	}
	return ids
}

// local returns a run of `sam local` with samconfig.toml's parameters, except for the network.
func (s *samLocal) local(command string, arguments ...string) *exec.Cmd {
	return s.command(s.sam, slices.Concat([]string{"local", command}, arguments,
		[]string{"--config-env", s.config, "--docker-network", s.project})...)
}

// logical returns a function's name in template.yaml.
func logical(function string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(function, "-") {
		out.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return out.String() + "Function"
}

// sample returns a payload of AWS for a function.
func sample(t testing.TB, function string) string {
	t.Helper()
	payload, err := testdata.Samples.ReadFile(function + ".json")
	require.NoError(t, err)
	return string(payload)
}

// gatewayAnswer is a function's response to API Gateway.
type gatewayAnswer struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

// invoke runs `sam local invoke` of a function with its sample.
func (s *samLocal) invoke(t *testing.T, function string) string {
	t.Helper()
	c := s.local("invoke", logical(function), "--event", "functions/testdata/"+function+".json")
	got := program.Finish(t, c, "")
	require.Equal(t, 0, got.Status, got.Stderr)
	require.NotEmpty(t, strings.TrimSpace(got.Stdout), "%s answers nothing\n%s", function, got.Stderr)
	return got.Stdout
}

// hosted is a running `sam local start-api` or `start-lambda`, which keeps each function's container.
type hosted struct {
	*program.Process
	url string
}

func (s *samLocal) serve(t *testing.T, command string) *hosted {
	t.Helper()
	port := free(t)
	h := &hosted{program.Start(t, s.local(command, "--port", port, "--warm-containers", "LAZY")), "http://127.0.0.1:" + port}
	t.Cleanup(h.end)
	program.Until(t, func() error {
		require.True(t, h.Running(), h.Stderr)
		_, err := program.Try("GET", h.url+"/", "")
		return err
	})
	return h
}

// end sends SIGTERM, on which SAM removes its containers. SAM CLI 1.170 turns SIGTERM into an exception in its main thread
// (BaseLocalService.run); if that thread is just handing over a request, Python's socketserver prints the exception and
// continues, so the signal is lost and has to be repeated. In any other case a second signal would interrupt the removal.
func (h *hosted) end() {
	h.T.Helper()
	given := 0
	program.Until(h.T, func() error {
		if !h.Running() {
			return nil
		}
		if strings.Count(h.Stderr.String(), "\nsamcli.local.docker.exceptions.ProcessSigTermException") == given {
			given++
			_ = h.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		}
		return fmt.Errorf("still running:\n%s", h.Stderr)
	})
}

// lambda invokes a function with its sample, as AWS's own tools do. If a function's init fails, the response is 200 with an
// empty body.
func (h *hosted) lambda(function string) string {
	h.T.Helper()
	a := program.Call(h.T, "POST", h.url+"/2015-03-31/functions/"+logical(function)+"/invocations", sample(h.T, function))
	require.Equal(h.T, 200, a.Status, a.Body)
	require.NotEmpty(h.T, a.Body, "%s answers nothing", function)
	return a.Body
}
