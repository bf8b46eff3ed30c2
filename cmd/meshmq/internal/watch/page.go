package watch

import (
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

//go:embed page.html
var pageText string

// pageTrouble is how many of the latest troubles the page has.
const pageTrouble = 20

// Page shows a View to browsers: one page, which asks for the table again and again. It changes nothing, and needs nothing from elsewhere. It answers by its address, or by the
// name that it was told, and by no other, so that no page of a stranger can read it by having its own name lead here.
type Page struct {
	host   string // its name, besides addresses and localhost
	millis int64  // from one table to the next
	latest atomic.Pointer[View]
}

// NewPage returns a Page of nothing yet, for a server that listens on host, and of which there is something new after so many milliseconds.
func NewPage(host string, millis int64) *Page {
	p := &Page{host: host, millis: millis}
	p.latest.Store(new(View))
	return p
}

// Set has the Page show v from now on.
func (p *Page) Set(v View) { p.latest.Store(&v) }

// ServeHTTP is that of http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !p.own(r.Host):
		http.Error(w, "want the address that meshmq dash printed", http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
	case r.URL.Path == "/":
		p.page(w)
	case r.URL.Path == "/table.json":
		p.table(w, r)
	default:
		http.NotFound(w, r)
	}
}

// own reports whether a Host header is ours: a name of a stranger's that leads to our address is not.
func (p *Page) own(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || p.host != "" && host == strings.ToLower(p.host)
}

func (p *Page) page(w http.ResponseWriter) {
	nonce := rand.Text()
	secure(w, "default-src 'none'; connect-src 'self'; script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// Both are ours, so that there is nothing to escape. An error is the browser's, that is gone.
	_, _ = io.WriteString(w, strings.NewReplacer("NONCE", nonce, "MILLIS", strconv.FormatInt(p.millis, 10)).Replace(pageText))
}

func (p *Page) table(w http.ResponseWriter, r *http.Request) {
	l := Layout{Sort: r.FormValue("sort"), Parts: r.FormValue("peers") == "true"}
	if l.Sort != "" && !slices.Contains(SortNames(), l.Sort) {
		http.Error(w, "sort: want one of "+strings.Join(SortNames(), ", "), http.StatusBadRequest)
		return
	}
	secure(w, "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(p.latest.Load().page(l))
}

func secure(w http.ResponseWriter, policy string) {
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		w.Header().Set(name, value)
	}
}

// The table as the page gets it.
type (
	pageTable struct {
		Title     string        `json:"title"`
		Columns   []string      `json:"columns"` // behind the name
		Processes []pageProcess `json:"processes"`
		Trouble   []string      `json:"trouble"` // the latest first
	}
	pageProcess struct {
		Line  string    `json:"line"`
		State string    `json:"state"`
		Rows  []pageRow `json:"rows"`
	}
	pageRow struct {
		Name  string   `json:"name"`
		Part  bool     `json:"part"` // of the row before
		Cells []string `json:"cells"`
		Worse []bool   `json:"worse"` // of the cells
	}
)

func (v View) page(l Layout) pageTable {
	t := pageTable{Title: v.title(l), Processes: []pageProcess{}, Trouble: v.trouble(pageTrouble)}
	for _, c := range heads() {
		t.Columns = append(t.Columns, c.text)
	}
	for _, p := range v.sorted(l) {
		of := pageProcess{Line: p.line(), State: p.State, Rows: []pageRow{}}
		for _, it := range p.items(l.column(), l.Parts) {
			cells := p.cells(it)
			row := pageRow{Name: strings.TrimSpace(cells[0].text), Part: it.part}
			for _, c := range cells[1:] {
				row.Cells, row.Worse = append(row.Cells, c.text), append(row.Worse, c.style == alarm)
			}
			of.Rows = append(of.Rows, row)
		}
		t.Processes = append(t.Processes, of)
	}
	return t
}
