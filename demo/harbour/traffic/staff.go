package traffic

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

// system is what programs do: health checks, sorting machines, night exports, the customs broker.
func (g *day) system() {
	monitor := g.person("monitor", "system", "", 900)
	for at := 10 * time.Second; at < 24*time.Hour; at += time.Minute {
		monitor.at = at
		monitor.call("GET", "/v2/health").anonymous()
	}
	for n, depot := range []string{"depot-hamburg", "depot-rotterdam"} {
		p := g.person(depot, "system", "", 910+n)
		for hour := range 24 {
			p.at = time.Duration(hour)*time.Hour + time.Duration(5+n)*time.Minute
			for page := 1; page <= 2; page++ {
				p.call("GET", fmt.Sprintf("/v2/partner/depots/%d/manifest?page_size=500&page=%d", n+1, page)).Token = "oauth:" + depot + ":depots:read scans:write"
			}
		}
	}
	finance := g.person("finance", "system", "", 920)
	finance.at = 2 * time.Hour
	for page := 1; page <= 12; page++ {
		finance.call("GET", fmt.Sprintf("/v2/export/parcels?page_size=500&page=%d", page)).Token = "oauth:finance:parcels:export invoices:export"
		finance.call("GET", fmt.Sprintf("/v2/export/invoices?page_size=200&page=%d", page)).Token = "oauth:finance:parcels:export invoices:export"
	}
	broker := g.person("customs-broker", "system", "", 930)
	broker.at = 3 * time.Hour
	for i, country := range []string{"CH", "NO", "GB", "US", "JP", "TR"} {
		broker.call("PUT", "/v2/partner/rates/"+country).json(object{"duty_percent": 2.5 + float64(i)}).Token = "oauth:customs-broker:rates:write"
	}
}

// sort is a depot's machine seeing parcels pass.
func (g *day) sort(n int, at time.Duration, codes []string) {
	depot := []string{"depot-hamburg", "depot-rotterdam"}[n]
	p := g.person(depot, "system", "", 910+n)
	p.at = at
	var scans []object
	for _, code := range codes {
		scans = append(scans, object{"tracking_code": saved(code), "status": "in_transit", "depot_id": n + 1})
	}
	p.call("POST", "/v2/partner/scans").json(object{"scans": scans}).Token = "oauth:" + depot + ":depots:read scans:write"
}

// office is the admin's day.
func (g *day) office() {
	a, _ := harbour.AccountNamed("grace")
	p := g.person(a.Name, "office", a.Email, 940)
	p.at = 5 * time.Minute
	p.logIn()
	p.call("POST", "/v2/admin/coupons", 201).json(object{"code": "HARBOUR10", "amount_cents": 1000, "valid_days": 30})
	for _, hour := range []int{8, 9, 10, 11, 13, 14, 15, 16} {
		p.at = time.Duration(hour)*time.Hour + g.between(0, 10*time.Minute)
		p.logIn()
		p.call("GET", "/v2/admin/stats")
		for page := 1; page <= 3; page++ {
			p.call("GET", fmt.Sprintf("/v2/admin/users?page_size=100&page=%d", page))
		}
		for range 12 {
			id := 1001 + g.rnd.IntN(Residents)
			p.call("GET", fmt.Sprintf("/v2/admin/users/%d", id))
			switch g.rnd.IntN(6) {
			case 0:
				if id%10 != 0 { // numbers ending in 0 are couriers, who have no wallet
					p.call("POST", fmt.Sprintf("/v2/admin/users/%d/credit", id)).json(object{"amount_cents": 100 + g.rnd.IntN(900), "reason": pick(g, remarks)})
				}
			case 1:
				parcel := 5001 + g.rnd.IntN(200)
				p.call("GET", fmt.Sprintf("/v2/parcels/%d?expand=events,notes", parcel))
				p.call("POST", fmt.Sprintf("/v2/parcels/%d/notes", parcel), http.StatusCreated).json(object{"text": "Office: " + pick(g, remarks)})
			case 2:
				p.call("PATCH", fmt.Sprintf("/v2/depots/%d", 1+g.rnd.IntN(6))).json(object{"capacity": 1000 + g.rnd.IntN(8000), "opens": "05:30"})
			case 3:
				p.call("PUT", fmt.Sprintf("/v2/admin/parcels/%d/assignment", 5001+g.rnd.IntN(200))).json(object{"courier_id": 201 + g.rnd.IntN(2)})
			case 4:
				p.call("GET", fmt.Sprintf("/v2/invoices?company_id=%d", 100+g.rnd.IntN(Residents/4)))
			case 5:
				p.call("PATCH", fmt.Sprintf("/v2/admin/users/%d", id)).json(object{"status": "active"})
			}
		}
		p.call("GET", "/v2/admin/audit?page_size=100")
		p.call("POST", "/v2/logout", http.StatusNoContent)
	}
}

// couriers load in the morning, and again at noon, in bursts; then they go from door to door.
func (g *day) couriers() {
	var crew []*person
	for _, name := range []string{"dave", "erin"} {
		a, _ := harbour.AccountNamed(name)
		crew = append(crew, g.person(name, "scanner", a.Email, 950+len(crew)))
	}
	for n := 10; n <= Residents; n += 10 {
		a := harbour.Resident(n)
		crew = append(crew, g.person(a.Name, "scanner", a.Email, 950+len(crew)))
	}
	waiting := g.onTheWay
	for tour, from := range []time.Duration{6 * time.Hour, 13 * time.Hour} {
		for n, p := range crew {
			p.at = from + g.between(0, 30*time.Minute)
			var load []dispatched
			waiting, load = take(waiting, 14, p.at-5*time.Minute)
			if len(load) > 0 && tour == 0 {
				var codes []string
				for _, d := range load {
					codes = append(codes, d.code)
				}
				g.sort(n%2, p.at-time.Minute, codes)
			}
			p.tour(load)
		}
	}
}

// take returns up to n parcels that were handed over before a time, and the others.
func take(from []dispatched, n int, before time.Duration) (rest, taken []dispatched) {
	for _, d := range from {
		if len(taken) < n && d.at < before {
			taken = append(taken, d)
		} else {
			rest = append(rest, d)
		}
	}
	return rest, taken
}

func (p *person) tour(load []dispatched) {
	p.logIn()
	p.call("GET", "/v2/me")
	for _, d := range load {
		scans := []object{{"tracking_code": saved(d.code), "status": "out_for_delivery"}}
		if p.g.chance(20) {
			scans[0]["note"] = pick(p.g, remarks)
		}
		p.call("POST", "/v2/courier/scans").json(object{"scans": scans})
	}
	if p.g.chance(30) {
		// A code read badly: the scanner says so and the courier goes on.
		p.call("POST", "/v2/courier/scans").json(object{"scans": []object{{"tracking_code": "HB" + strings.Repeat("Z", 10), "status": "out_for_delivery"}}})
	}
	p.call("GET", "/v2/courier/run")
	started := p.at
	for i, d := range load {
		p.at += p.g.between(time.Minute, 3*time.Minute)
		if p.at-started > 45*time.Minute {
			p.call("POST", "/v2/session/refresh").save("token."+p.name, "/access_token")
			started = p.at
		}
		p.call("GET", "/v2/parcels/"+saved(d.id))
		body := object{"signed_by": pick(p.g, people)}
		if i%4 == 0 {
			body["upload_id"] = saved(p.upload(d.id, "proof_of_delivery", "proof.png", "image/png", p.g.png(2000+p.g.rnd.IntN(30_000))))
		}
		p.call("POST", "/v2/parcels/"+saved(d.id)+"/delivery").json(body)
	}
	p.call("POST", "/v2/logout", http.StatusNoContent)
}

// visitors register during the day, and come back at once.
func (g *day) visitors() {
	for n := range 60 {
		p := g.person(fmt.Sprintf("visitor%d", n), "web", fmt.Sprintf("visitor.o'%d@post.example", n), 600+n)
		g.password[p.name] = fmt.Sprintf("my dog's name is %d", 1000+n)
		p.at = 7*time.Hour + g.between(0, 14*time.Hour)
		if g.chance(20) {
			p.call("POST", "/v2/register", 422).anonymous().json(object{"email": p.email, "password": "short", "name": pick(g, people)})
		}
		p.call("POST", "/v2/register", 202).anonymous().json(object{"email": p.email, "password": g.password[p.name], "name": pick(g, people), "company": pick(g, []string{"", "Select & Union Ltd.", "O'Brien's Drop Shop"})})
		p.visit(0)
	}
}

// followers look where a parcel is, without an account; some type the code wrong.
func (g *day) followers() {
	for n := range 5200 {
		p := g.person("follower", "anonymous", "", 2000+n)
		d := pick(g, g.loose)
		p.at = d.at + g.between(time.Minute, 6*time.Hour)
		if p.at > 24*time.Hour-time.Minute {
			p.at = d.at + time.Minute
		}
		switch {
		case g.chance(4):
			p.call("GET", "/v2/tracking/HB"+pick(g, []string{"2222222222", "ABCDEFGHJK"}), 404).anonymous()
		case g.chance(3):
			p.call("GET", "/v2/tracking/"+pick(g, []string{"HB12", "hb23456789ab", "HB-O0-1234"}), 422).anonymous()
		case g.chance(15):
			p.call("GET", "/v1/tracking/"+saved(d.code)).anonymous()
		default:
			p.call("GET", "/v2/tracking/"+saved(d.code)).anonymous()
		}
	}
}
