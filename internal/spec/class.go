package spec

import (
	"slices"
	"strings"
)

// classRule says that a name with these words, one after another, holds data of
// a class. Rules are tried in order; the more dangerous class comes first.
type classRule struct {
	class DataClass
	words []string
}

var classRules = makeClassRules([]struct {
	class DataClass
	names string
}{
	{ClassSecret, `password, passwd, pwd, passphrase, passcode, secret, client secret, api key, apikey, api token, access token, accesstoken, refresh token,
		id token, auth token, bearer token, session token, reset token, token, private key, privatekey, secret key, secretkey, access key, signing key, encryption key, credential, credentials,
		otp, totp, mfa code, pin, pin code, security answer, security code, recovery code, backup code, session id, sessionid, jwt, webhook secret`},
	{ClassFinancial, `card number, cardnumber, credit card, creditcard, debit card, card holder, cardholder, pan, cvv, cvc, cvv 2, card expiry, iban, bic, swift, swift code,
		bank account, account number, accountnumber, routing number, sort code, balance, salary, income, credit limit, credit score, net worth, wage, payment method, stripe customer`},
	{ClassHealth, `diagnosis, diagnoses, medication, medications, prescription, allergy, allergies, blood type, blood group, blood pressure, disease, symptom, symptoms, icd, icd 10,
		medical, medical record, treatment, immunization, vaccination, vaccine, disability, pregnancy, pregnant, health, heart rate, patient id, insurance number, health plan, lab result, mental`},
	{ClassIdentifier, `ssn, social security, social security number, passport, passport number, national id, national insurance, nino, tax id, taxid, tax number, tin, vat number, personal number,
		driver license, drivers license, driving licence, driving license, license number, licence number, license plate, imei, imsi, iccid, mac address, macaddress, device id, deviceid, serial number, advertising id, vin, id card, identity card, identity number`},
	{ClassLocation, `latitude, longitude, lat, lng, lon, long lat, gps, geo, geolocation, geo location, coordinates, current location, last location, altitude`},
	{ClassPersonal, `email, e mail, emails, mail address, phone, phones, telephone, mobile, cell phone, fax, msisdn, first name, firstname, last name, lastname, middle name, full name, fullname, given name, family name,
		surname, maiden name, birth, birthday, birthdate, dob, date of birth, gender, sex, ethnicity, race, religion, nationality, marital status, sexual orientation, political, union membership,
		address, addresses, street, street address, post code, postcode, postal code, zip, zip code, zipcode, house number, ip address, ipaddress, ip addr, remote ip, client ip, signature, biometric, fingerprint, photo id, avatar,
		user name, customer name, contact name, person name, employee name, patient name, member name, recipient name, sender name, driver name, owner name, author name, guest name, passenger name, display name, nickname, contact number`},
})

func makeClassRules(lists []struct {
	class DataClass
	names string
}) []classRule {
	var rules []classRule
	for _, l := range lists {
		for n := range strings.SplitSeq(l.names, ",") {
			rules = append(rules, classRule{l.class, strings.Fields(n)})
		}
	}
	return rules
}

// rulesByWord finds the rules that start with a word, in the order of classRules.
var rulesByWord = func() map[string][]int {
	m := map[string][]int{}
	for i, r := range classRules {
		m[r.words[0]] = append(m[r.words[0]], i)
	}
	return m
}()

// notData are last words of names that say something about a datum and are not it:
// email_verified, password_changed_at, address_count.
var notData = map[string]bool{
	"at": true, "count": true, "total": true, "enabled": true, "disabled": true, "verified": true, "required": true, "confirmed": true, "valid": true, "type": true, "kind": true, "status": true, "state": true,
	"policy": true, "format": true, "length": true, "expires": true, "expiry": true, "expiration": true, "ttl": true, "in": true, "url": true, "uri": true, "href": true, "link": true, "template": true,
	"id": true, "ids": true, "uuid": true, "label": true, "sent": true, "opt": true, "preference": true, "preferences": true, "version": true, "endpoint": true, "attempts": true, "hint": true, "strength": true, "limit": true,
}

// pageWords make a token one of paging, which is no secret.
var pageWords = []string{"page", "next", "previous", "prev", "continuation", "cursor", "pagination", "sync", "start", "idempotency", "skip"}

// idWords end the names of identifiers.
var idWords = map[string]bool{"id": true, "ids": true, "uuid": true, "guid": true, "uid": true}

// classOf tells the class of a datum by its name, the name of what holds it, and
// the format and type that its schema gives.
func classOf(name, holder, format, typ string) DataClass {
	switch format {
	case "password":
		return ClassSecret
	case "email", "idn-email":
		return ClassPersonal
	}
	if typ == "boolean" {
		return ClassNone
	}
	own := words(name)
	if len(own) == 0 {
		return ClassNone
	}
	if c := classOfWords(own, len(own)); c != ClassNone {
		return c
	}
	if holder == "" || notData[own[len(own)-1]] {
		return ClassNone
	}
	// What the holder is called counts together with the name: card.number, address.city.
	both := append(words(holder), own...)
	if len(own) == 1 && own[0] == "name" && len(both) > 1 && personNouns[singular(both[len(both)-2])] {
		return ClassPersonal
	}
	return classOfWords(both, len(own))
}

// classOfWords tries the rules on w, of which the last own words are the name's.
// What is said of the holder alone colours what it holds only for some holders.
func classOfWords(w []string, own int) DataClass {
	best := len(classRules)
	for at, word := range w {
		for _, i := range rulesByWord[word] {
			if i >= best {
				break
			}
			seq := classRules[i].words
			end := at + len(seq)
			switch {
			case end > len(w) || !slices.Equal(w[at:end], seq):
			case end <= len(w)-own && !holdsAll[word]:
			case notData[w[len(w)-1]] && end != len(w): // email_verified is no e-mail address
			case len(seq) == 1 && word == "token" && slices.ContainsFunc(pageWords, func(p string) bool { return slices.Contains(w, p) }):
			default:
				best = i
			}
		}
	}
	if best == len(classRules) {
		return ClassNone
	}
	return classRules[best].class
}

// holdsAll are holders whose every datum is of their class.
var holdsAll = map[string]bool{"address": true, "medical": true, "diagnosis": true, "prescription": true, "medication": true, "credential": true, "credentials": true, "passport": true, "geolocation": true, "coordinates": true}

// personNouns are nouns whose name is a person's.
var personNouns = map[string]bool{
	"user": true, "customer": true, "person": true, "contact": true, "employee": true, "patient": true, "member": true, "recipient": true, "sender": true, "driver": true,
	"owner": true, "author": true, "guest": true, "passenger": true, "subscriber": true, "student": true, "teacher": true, "doctor": true, "agent": true, "candidate": true, "applicant": true,
	"beneficiary": true, "payer": true, "payee": true, "holder": true, "profile": true, "attendee": true, "participant": true, "player": true, "visitor": true, "lead": true, "parent": true, "child": true, "spouse": true,
	"consignee": true, "buyer": true, "seller": true, "borrower": true, "tourist": true, "addressee": true, "rider": true,
}

// ClassOf tells the class of a datum of which nothing is known but its name and
// the name of what holds it, "" for none.
func ClassOf(name, holder string) DataClass { return classOf(name, holder, "", "") }
