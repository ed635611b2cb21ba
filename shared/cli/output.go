package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/trace"
)

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// newLogger returns a logger with colours and short times on a terminal. Elsewhere a server logs JSON, other commands text.
func (a *app) newLogger() *slog.Logger {
	format, level := a.settings.LogFormat, a.settings.LogLevel
	if !isTerminal(a.stderr) || format == "json" {
		return observe.Logger(a.stderr, format == "json" || format == "" && a.server, level)
	}
	return terminalLogger(a.stderr, level, os.Getenv("NO_COLOR") != "")
}

func terminalLogger(w io.Writer, level slog.Leveler, noColor bool) *slog.Logger {
	return slog.New(trace.Logs(tint.NewTextHandler(w, &tint.Options{
		Level: level, TimeFormat: time.TimeOnly, NoColor: noColor, ReplaceAttr: withoutEscapes,
	})))
}

// withoutEscapes replaces ESC, which tint passes on to the terminal; it quotes all other controls.
func withoutEscapes(_ []string, a slog.Attr) slog.Attr {
	if text := a.Value.String(); strings.Contains(text, "\x1b") {
		a.Value = slog.StringValue(strings.ReplaceAll(text, "\x1b", "\ufffd"))
	}
	return a
}

// writeJSON writes what json.Marshal returned.
func (a *app) writeJSON(text []byte, err error) error {
	if err == nil {
		_, err = fmt.Fprintln(a.stdout, escapeControls(string(text)))
	}
	return err
}

// writeLine writes a value as one line of JSON. Text from records may be anything: invalid UTF-8 becomes U+FFFD.
func (a *app) writeLine(value any) error {
	return a.writeJSON(json.Marshal(value, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)))
}

// escapeControls escapes in a JSON text the characters that JSON leaves as they are and a terminal obeys: DEL and C1, and those
// that turn the direction of a line or end it. The JSON means the same afterwards; invalid UTF-8 becomes U+FFFD.
func escapeControls(json string) string {
	var escaped strings.Builder
	for _, r := range json {
		if r >= 0x7f && events.IsControl(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.String()
}

// newBar makes a progress bar for a number of things, -1 if that is unknown. It is shown on a terminal.
func (a *app) newBar(things int64, name string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(things, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(name),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(a.stderr)))
}

// printTable writes rows of cells that tabs separate, in columns.
func printTable(w io.Writer, rows ...string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(rows, "\n"))
	return table.Flush()
}

// maxShown is how many bytes printable shows.
const maxShown = 4000

// printable shows bytes of a record on one line. It quotes those that would move the cursor or forge a line.
func printable(b []byte) string {
	if b == nil {
		return "-"
	}
	cut := ""
	if len(b) > maxShown {
		cut = fmt.Sprintf("… (%d bytes)", len(b))
		end := maxShown
		for end > 0 && !utf8.RuneStart(b[end]) {
			end--
		}
		b = b[:end]
	}
	text := string(b)
	if strings.ContainsFunc(text, func(c rune) bool { return c == utf8.RuneError || !unicode.IsGraphic(c) }) {
		text = strconv.Quote(text)
	}
	return text + cut
}

// maxRows is how many rows of a table are shown: more than a screen, and not what a person reads.
const maxRows = 100

// printRows prints a table of at most [maxRows] rows below the heading, and how many more there are.
func printRows(w io.Writer, heading string, rows []string) error {
	shown := rows[:min(len(rows), maxRows)]
	err := printTable(w, append([]string{heading}, shown...)...)
	if err == nil && len(rows) > len(shown) {
		_, err = fmt.Fprintf(w, "… and %d more; --json shows all\n", len(rows)-len(shown))
	}
	return err
}

// counted is a number and a noun, such as "1 event" and "2 events".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// topicNames are the topics of the event types.
func topicNames() (names []string) {
	for _, d := range events.Catalogue() {
		names = append(names, d.Topic)
	}
	return names
}
