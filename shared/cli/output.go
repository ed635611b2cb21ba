package cli

import (
	"bytes"
	"encoding/json"
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

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/spf13/cobra"
)

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// server marks the commands that run until they are stopped: programs read their logs.
var server = map[string]string{"server": "yes"}

// newLogger returns a logger with colours and short times on a terminal. Elsewhere a server logs JSON, other commands text.
func (a *app) newLogger(c *cobra.Command) *slog.Logger {
	format, level := a.settings.LogFormat, a.settings.LogLevel
	if !isTerminal(a.stderr) || format == "json" {
		return observe.Logger(a.stderr, format == "json" || format == "" && c.Annotations["server"] != "", level)
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

// writeJSON writes a value for scripts, without characters that control a terminal.
func (a *app) writeJSON(value any, indent string) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := a.stdout.Write(events.EscapeControls(out.Bytes()))
	return err
}

// printTable writes rows of cells that tabs separate, in columns.
func printTable(w io.Writer, rows ...string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(rows, "\n"))
	return table.Flush()
}

// printable shows bytes of a record on one line. It quotes those that would move the cursor or forge a line.
func printable(b []byte, limit int) string {
	if b == nil {
		return "-"
	}
	text, cut := string(b[:min(len(b), limit*utf8.UTFMax)]), ""
	if runes := []rune(text); len(runes) > limit || len(text) < len(b) {
		text, cut = string(runes[:min(limit, len(runes))]), fmt.Sprintf("… (%d bytes)", len(b))
	}
	unsafe := func(c rune) bool {
		return c == utf8.RuneError || unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	}
	if strings.ContainsFunc(text, unsafe) {
		text = strconv.Quote(text)
	}
	return text + cut
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
