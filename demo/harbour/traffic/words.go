package traffic

// Names, streets and remarks that honest people have and write. Many of them
// look like an attack to a filter that reads words one by one.
var (
	people = []string{
		"Siobhán O'Brien", "Miles O'Keeffe", "Conan D'Souza", "Björk Guðmundsdóttir", "Łukasz Żółć", "François L'Hôpital",
		"José María Aznar-López", "Nguyễn Thị Minh Khai", "李小龍", "山田太郎", "Олена Шевченко", "Αλέξανδρος Παπαδόπουλος", "محمد علي", "דוד לוי",
		"Anna Select", "Peter Union", "Ursula Null", "Robert Tables", "Jean-Luc Drop", "Tim Script", "Ann Exec", "Xi Or",
		"Dr. Müller & Söhne", "Smith; Jones", "Jürgen \"Jogi\" Weiß", "Ó Súilleabháin", "Zoë Saldaña", "Søren Ærø", "Prisoner #6", "Jens 100% Juice",
	}
	streets = []string{
		"Rue de l'Union 12", "St. Mary's Road 4", "Königsallee 1/2", "Union Street 33 (select entrance B)", "Calle Ñuñoa 7 -- 3º izq.", "D'Arcy Lane 10",
		"Am Sandtorkai 30", "Rua 25 de Março 1000", "1 = 1 House, Equality Road", "O'Connell Street 5", "Drop Lane 8; rear gate", "Plot #42 & Sons Yard",
	}
	cities    = []string{"Hamburg", "København", "Málaga", "L'Aquila", "Saint-Étienne", "Łódź", "Dublin", "Zürich", "Åre", "'s-Hertogenbosch"}
	countries = []string{"DE", "DK", "ES", "IT", "FR", "PL", "IE", "CH", "SE", "NL"}
	postcodes = []string{"20457", "1051", "29001", "67100", "42000", "90-001", "D02 X285", "8001", "83013", "5211 AB"}
	remarks   = []string{
		"Please drop it at the table behind the union office.", "Select a safe place -- under the stairs, or at O'Brien's.", "Ring twice; the bell is broken :)",
		"Don't leave it in the rain!", "100% fragile, 50% off, it's a gift & it's late", "Insert the key, update me when done, delete this note after.",
		"If 1 = 1 and the door is open, come in", "Bitte beim Nachbarn abgeben (Müller, 2. OG)", "Laissez-le à l'accueil, s'il vous plaît", "<3 thank you <3",
		"Code for the gate: #1234*", "お願いします", "Спасибо!", "see https://maps.example/?q=Kai+1&z=17 for the way", "Exec floor, ask for Alter Ego", "Parcel \"A\" or 'B'? Either is fine.",
		"cat food -- keep dry; dog is friendly", "../ is how our lift shows the basement", "From table 5, where Ann sits, union rep", "{no sugar}, just coffee",
	}
	searches = []string{"O'Brien", "O'Hara", "select", "union", "Drop", "D'Angelo", "Müller", "李", "100%", "PO-1", "Union Street", "null", "L'Aquila", "Smith; Jones", "or", "--"}
	wordings = []string{
		"Dear {name}, your parcel {tracking_code} is {status}.", "{name}: it's on its way! Code {tracking_code}", "Hej {name}! Select a slot & drop us a line.", "Status: {status} (100% on time)",
	}
	hooks = []string{
		"https://hooks.northlight.example/harbour", "https://api.shop.example/hook?shop=o%27brien&select=all", "https://juniper.example/in/parcels?src=harbour&v=2", "https://union.example/drop/table",
	}
	subjects = []string{"Your parcel is on its way", "It's coming: parcel & papers", "Ihr Paket, Frau O'Brien", "Re: drop-off (select a day)", "Пакет"}
)

// agents are the User-Agent headers of the kinds of callers.
var agents = map[string]string{
	"web":       "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"mobile":    "HarbourApp/5.3 (Android 15; Pixel 8)",
	"scanner":   "HarbourScan/2.1 (Zebra TC52)",
	"office":    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0 Safari/537.36",
	"system":    "harbour-client-java/1.9",
	"anonymous": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
}
