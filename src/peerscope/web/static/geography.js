// Places of regions by their names: [longitude, latitude].
//
// A region is free text of an operator, a country code from an address, or a cluster by latency. This file knows region
// names of clouds, many cities, and ISO 3166-1 codes. All others are listed beside the map.

const AREAS = {
  "us-east": [-77, 39], "us-west": [-121, 41], "us-central": [-95, 41], "us-south": [-97, 32], "us-north": [-93, 46], us: [-98, 39],
  "ca-central": [-75, 46], "ca-west": [-114, 51], "na-east": [-77, 40], "na-west": [-121, 41], na: [-98, 41],
  "sa-east": [-46.6, -23.5], "sa-west": [-70.6, -33.4], sa: [-58, -15], latam: [-58, -15],
  "eu-west": [-6.5, 53.3], "eu-central": [8.7, 50.1], "eu-north": [18, 59.3], "eu-south": [9.2, 45.5], "eu-east": [21, 52.2], eu: [10, 50],
  "europe-west": [4, 50.5], "europe-north": [25, 61], "europe-central": [20, 52], "europe-southwest": [-3.7, 40.4], europe: [10, 50],
  "af-south": [18.4, -33.9], "af-north": [31, 30], "af-west": [3.4, 6.5], "af-east": [36.8, -1.3], africa: [20, 2], af: [20, 2],
  "me-south": [50.6, 26.2], "me-central": [55, 25], me: [48, 27], "il-central": [34.8, 32],
  "ap-south": [72.9, 19.1], "ap-southeast": [103.8, 1.4], "ap-northeast": [139.7, 35.7], "ap-east": [114.2, 22.3],
  "asia-east": [121, 24], "asia-south": [73, 19], "asia-southeast": [104, 1.4], "asia-northeast": [139.7, 35.7], asia: [100, 34], ap: [105, 15],
  oceania: [134, -25], "au-east": [151.2, -33.9], "au-west": [115.9, -32], australia: [134, -25],
};

const CITIES = {
  amsterdam: [4.9, 52.4], ashburn: [-77.5, 39], athens: [23.7, 38], atlanta: [-84.4, 33.7], auckland: [174.8, -36.8], bangalore: [77.6, 13],
  bangkok: [100.5, 13.8], barcelona: [2.2, 41.4], berlin: [13.4, 52.5], bogota: [-74.1, 4.7], boston: [-71.1, 42.4], brussels: [4.4, 50.8],
  bucharest: [26.1, 44.4], budapest: [19, 47.5], "buenos-aires": [-58.4, -34.6], cairo: [31.2, 30], "cape-town": [18.4, -33.9], chicago: [-87.6, 41.9],
  copenhagen: [12.6, 55.7], dallas: [-96.8, 32.8], delhi: [77.2, 28.6], denver: [-105, 39.7], dubai: [55.3, 25.2], dublin: [-6.3, 53.3],
  falkenstein: [12.4, 50.5], frankfurt: [8.7, 50.1], geneva: [6.1, 46.2], hamburg: [10, 53.6], helsinki: [24.9, 60.2], "hong-kong": [114.2, 22.3],
  istanbul: [29, 41], jakarta: [106.8, -6.2], johannesburg: [28, -26.2], kyiv: [30.5, 50.5], lagos: [3.4, 6.5], lima: [-77, -12],
  lisbon: [-9.1, 38.7], london: [-0.1, 51.5], "los-angeles": [-118.2, 34.1], madrid: [-3.7, 40.4], manila: [121, 14.6], melbourne: [145, -37.8],
  "mexico-city": [-99.1, 19.4], miami: [-80.2, 25.8], milan: [9.2, 45.5], montreal: [-73.6, 45.5], moscow: [37.6, 55.8], mumbai: [72.9, 19.1],
  munich: [11.6, 48.1], nairobi: [36.8, -1.3], "new-york": [-74, 40.7], nuremberg: [11.1, 49.5], osaka: [135.5, 34.7], oslo: [10.8, 59.9],
  paris: [2.4, 48.9], prague: [14.4, 50.1], rome: [12.5, 41.9], "san-francisco": [-122.4, 37.8], santiago: [-70.6, -33.4], "sao-paulo": [-46.6, -23.5],
  seattle: [-122.3, 47.6], seoul: [127, 37.6], shanghai: [121.5, 31.2], singapore: [103.8, 1.4], sofia: [23.3, 42.7], stockholm: [18.1, 59.3],
  strasbourg: [7.8, 48.6], sydney: [151.2, -33.9], taipei: [121.5, 25], "tel-aviv": [34.8, 32.1], tokyo: [139.7, 35.7], toronto: [-79.4, 43.7],
  vienna: [16.4, 48.2], warsaw: [21, 52.2], zurich: [8.5, 47.4],
};

/** Code, longitude, latitude of the populated part of a country. */
const COUNTRIES = `AE 55 25 AF 69 34.5 AL 20 41 AM 44.5 40 AO 13.5 -9 AR -59 -34.5 AT 15.5 48 AU 147 -35 AZ 49 40.4 BA 18 44 BD 90 24 BE 4.5 50.8
BG 25 42.7 BH 50.6 26 BO -66 -17 BR -46 -21 BW 25.9 -24.7 BY 27.6 53.9 CA -79 44 CD 15.3 -4.3 CH 8 47 CI -4 5.3 CL -70.6 -33.4 CM 11.5 3.9
CN 115 33 CO -74 4.7 CR -84 10 CU -82 23 CY 33 35 CZ 15 50 DE 10 51 DK 11 56 DO -70 18.5 DZ 3 36.5 EC -79 -1 EE 25 59 EG 31 30 ES -3.7 40.4
ET 38.7 9 FI 25 61 FR 2.5 48 GB -1.5 52.5 GE 44.8 41.7 GH -0.2 5.6 GR 23 38.5 GT -90.5 14.6 HK 114.2 22.3 HN -87 14 HR 16 45.5 HU 19 47.3
ID 107 -6.5 IE -6.5 53.3 IL 34.8 32 IN 77 22 IQ 44.4 33.3 IR 51.4 35.7 IS -21.9 64.1 IT 11 44 JM -76.8 18 JO 36 32 JP 138 35.7 KE 36.8 -1.3
KG 74.6 42.9 KH 105 11.6 KR 127.2 37 KW 48 29.4 KZ 75 46 LB 35.5 33.9 LK 80 7 LT 24.5 55 LU 6.1 49.6 LV 24.5 57 LY 13.2 32.9 MA -7 33 MD 28.8 47
ME 19.3 42.4 MG 47.5 -18.9 MK 21.4 42 MM 96 17 MN 107 47.9 MO 113.5 22.2 MT 14.5 35.9 MU 57.5 -20.2 MX -99.5 20 MY 101.7 3.1 MZ 32.6 -26 NA 17 -22.6
NG 5 7.5 NI -86 12 NL 5.2 52.2 NO 10 60.2 NP 85.3 27.7 NZ 174.8 -38.5 OM 58.4 23.6 PA -79.5 9 PE -76 -11 PH 121 14.6 PK 71 31 PL 19.5 52 PR -66 18.4
PS 35.2 31.9 PT -8.8 39.5 PY -57.6 -25.3 QA 51.5 25.3 RO 26 45 RS 20.5 44.5 RU 40 56 RW 30 -2 SA 46 24.6 SD 32.5 15.6 SE 16 59.5 SG 103.8 1.4
SI 14.5 46 SK 18 48.5 SN -17.4 14.7 SV -89 13.7 SY 36.3 33.5 TH 100.5 14 TN 10 36.5 TR 31 40 TW 121.2 24.5 TZ 37 -6.5 UA 31 49.5 UG 32.6 0.3
US -95 39 UY -56 -34.8 UZ 69 41 VE -67 10.3 VN 106 16 YE 44.2 15.4 ZA 27 -27 ZM 28.3 -15.4 ZW 31 -17.8`;

const byCode = new Map();
const words = COUNTRIES.split(/\s+/);
for (let i = 0; i < words.length; i += 3) byCode.set(words[i], [Number(words[i + 1]), Number(words[i + 2])]);

/** [longitude, latitude] of a region, or null for an unknown name. */
export function placeOf(region) {
  if (/^[A-Z]{2}$/.test(region)) return byCode.get(region) ?? null;
  // eu_west_1b, "EU West", aws:eu-west-1: the name of the place without provider, availability zone and number.
  const name = region.toLowerCase().replace(/[\s_.:/]+/g, "-").replace(/-?\d+[a-z]?$/, "").replace(/^(aws|gcp|azure|hetzner|ovh|do)-/, "");
  return AREAS[name] ?? CITIES[name] ?? (name.length === 2 ? byCode.get(name.toUpperCase()) ?? null : null);
}
