package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	top := Run(t, "", "help")
	assert.Equal(t, 0, top.Status)
	assert.Empty(t, top.Stderr)
	assert.Equal(t, top.Stdout, Run(t, "").Stdout, "no command at all")
	assert.Equal(t, top.Stdout, Run(t, "", "--help").Stdout)
	for _, name := range []string{"serve", "api", "worker", "topics", "doctor", "publish", "tail", "version"} {
		assert.Contains(t, top.Stdout, "  "+name+" ")
		help := Run(t, "", name, "--help")
		assert.Equal(t, 0, help.Status)
		assert.Contains(t, help.Stdout, "Examples:\n  sipeat "+name)
		assert.Equal(t, help.Stdout, Run(t, "", "help", name).Stdout)
	}
	unknown := Run(t, "", "help", "sevre")
	assert.Equal(t, 2, unknown.Status, "%s%s", unknown.Stdout, unknown.Stderr)
	assert.Contains(t, unknown.Stderr, `unknown command "sevre"; did you mean serve?`)
}

func TestVersionSaysWhatWasBuilt(t *testing.T) {
	t.Parallel()
	text := Run(t, "", "version")
	assert.Equal(t, 0, text.Status)
	assert.Regexp(t, `^sipeat \S+ (\S+ )?go1\.\S+ \w+/\w+\n$`, text.Stdout)
	v := Decoded[map[string]string](t, Run(t, "", "version", "--json").Stdout)
	for _, field := range []string{"version", "go", "platform"} {
		assert.NotEmpty(t, v[field], field)
	}
}

// Each script loads in its shell; bash, which is everywhere, also completes.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := Run(t, "", "completion", shell)
		require.Equal(t, 0, script.Status, script.Stderr)
		file := filepath.Join(t.TempDir(), "sipeat."+shell)
		require.NoError(t, os.WriteFile(file, []byte(script.Stdout), 0o600))
		if path, err := exec.LookPath(shell); err == nil {
			out, err := exec.Command(path, "-n", file).CombinedOutput()
			assert.NoError(t, err, "%s: %s", shell, out)
		} else {
			assert.Greater(t, strings.Count(script.Stdout, "\n"), 50, shell)
		}
	}
	path, err := Program()
	require.NoError(t, err)
	bash := exec.Command("bash", "-c", `source <("$0" completion bash) && complete -p sipeat`, path)
	bash.Env = CleanEnvironment()
	out, err := bash.CombinedOutput()
	assert.NoError(t, err)
	assert.Contains(t, string(out), "__start_sipeat")

	for asked, want := range map[string][]string{
		"ser":      {"serve"},
		"publish ": {"contact-created", "machine-created", "request-created", "notification"},
		"tail ":    {"contact-created", "contact-created.dead-letters"},
	} {
		got := Run(t, "", append([]string{"__complete"}, strings.Split(asked, " ")...)...)
		for _, name := range want {
			assert.Regexp(t, `(?m)^`+name+`(\t|$)`, got.Stdout)
		}
	}
}

// Nothing is coloured where nobody has a terminal, or where NO_COLOR says so.
func TestOutputIsPlain(t *testing.T) {
	t.Parallel()
	for _, environment := range [][]string{{}, {"NO_COLOR=1", "TERM=xterm-256color"}} {
		for _, arguments := range [][]string{{"help"}, {"version"}, {"sevre"}, {"publish", "--help"}} {
			c := command(t, arguments...)
			c.Env = append(c.Env, environment...)
			got := Finish(t, c, "")
			assert.NotContains(t, got.Stdout+got.Stderr, "\x1b")
		}
		s := launch(t, t.TempDir(), environment...)
		s.Ready()
		got := s.publish("contact-created", AContact+"\nx")
		assert.NotContains(t, s.Stdout.String()+s.Stderr.String()+got.Stderr, "\x1b")
		assert.NotContains(t, got.Stderr, "\r", "progress is for terminals")
	}
}
