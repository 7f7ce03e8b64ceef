package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// page prints the tour: in colour on a terminal, plainly into a log.
type page struct {
	w     io.Writer
	color bool
}

func newPage(f *os.File) *page {
	info, err := f.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &page{w: f, color: tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p *page) linef(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// section begins a part of the tour.
func (p *page) section(title string, about ...string) {
	p.linef("\n%s", p.bold(title))
	for _, line := range about {
		p.linef("%s", p.dim(line))
	}
	p.linef("")
}

func (p *page) paint(code, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *page) bold(s string) string   { return p.paint("1", s) }
func (p *page) dim(s string) string    { return p.paint("2", s) }
func (p *page) red(s string) string    { return p.paint("31", s) }
func (p *page) green(s string) string  { return p.paint("32", s) }
func (p *page) yellow(s string) string { return p.paint("33", s) }

// cell is a text of a table and how it is painted.
type cell struct {
	text  string
	paint func(string) string
}

func plainCell(text string) cell { return cell{text: text} }

// table prints rows in columns. The last column is not padded.
func (p *page) table(rows [][]cell) {
	var width []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		b.WriteString(" ")
		for i, c := range row {
			text := c.text
			if i < len(row)-1 {
				text += strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text))
			}
			if c.paint != nil {
				text = c.paint(text)
			}
			b.WriteString(" " + text + " ")
		}
		p.linef("%s", strings.TrimRight(b.String(), " "))
	}
}

// printable keeps what an API answered from driving the terminal.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
